"""What is somebody's own is to every other administrator as if it were not there: the same status, the same body."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from libs.common.ids import new_id
from tests.support.house import ADMIN, EMAIL, PASSWORD, House

Route = tuple[str, str, dict[str, Any] | None]

ROUTES: Mapping[str, list[Route]] = {
    "session": [("DELETE", "/sessions/{id}", None)],
    "saved search": [("GET", "/audit/saved-searches/{id}", None), ("DELETE", "/audit/saved-searches/{id}", None)],
    "export": [
        ("GET", "/exports/{id}", None), ("GET", "/exports/{id}/download", None), ("DELETE", "/exports/{id}", None),
    ],
    "operation": [("GET", "/operations/{id}", None)],
    "access request": [("GET", "/access/requests/{id}", None), ("DELETE", "/access/requests/{id}", None)],
    "approval": [
        ("GET", "/approvals/{id}", None), ("POST", "/approvals/{id}/approve", None),
        ("POST", "/approvals/{id}/reject", {"reason": "not mine"}), ("DELETE", "/approvals/{id}", None),
    ],
    "notification": [
        ("GET", "/notifications/{id}", None), ("PUT", "/notifications/{id}/read", None),
        ("PUT", "/notifications/{id}/unread", None), ("DELETE", "/notifications/{id}", None),
    ],
}  # fmt: skip
"""Every route with an id of something that is one administrator's alone, by what it is."""
STRANGERS = {"operation": "moderator", "approval": "moderator"}
"""Who may ask that route for what is their own, and not for everybody's; elsewhere that is an `admin`."""
_ROWS = {
    "operation": "INSERT INTO gateway.operations (id, action, subject, admin_id)"
    " VALUES ($1, 'update_setting', 'setting/theme', $2)",
    "access request": "INSERT INTO gateway.access_requests (id, user_id, permission, reason)"
    " VALUES ($1, $2::text::uuid, 'billing:read', 'the quarter')",
    "approval": "INSERT INTO gateway.approvals (id, kind, target, changes, inputs, asked_by, expires_at)"
    " VALUES ($1, 'user_role', 'user/' || $2, '{}', '{}', $2, now() + interval '1 day')",
    "notification": "INSERT INTO notifications.notifications (position, id, type, priority, title, message,"
    " action_required, metadata, created_at, recipient_id)"
    " VALUES (-1, $1, 'account_notice', 'normal', 'For one', '', false, '{}', now(), $2)",
}  # What takes a second administrator, a mail or a slow service to come about is written as it would be stored.


@dataclass(frozen=True, slots=True)
class Owner:
    """The first administrator, in a session that is none of theirs who are tested."""

    http: httpx.Client
    user_id: str
    session_id: str


@pytest.fixture
def owner(house: House) -> Iterator[Owner]:
    with house.client(None) as http:
        made = http.post(f"{ADMIN}/auth/login", json={"email": EMAIL, "password": PASSWORD}).raise_for_status().json()
        http.headers["authorization"] = f"Bearer {made['access_token']}"
        seen = http.get(f"{ADMIN}/sessions").raise_for_status().json()["sessions"]
        current = next(one for one in seen if one["is_current"])
        yield Owner(http, current["user_id"], current["id"])


async def own(house: House, owner: Owner, what: str) -> str:
    """The id of one that is the owner's."""
    match what:
        case "session":
            return owner.session_id
        case "saved search":
            body: dict[str, Any] = {"name": f"mine {new_id()}", "filters": {"outcome": "denied"}}
            return _made(owner, "/audit/saved-searches", body)
        case "export":
            return _made(owner, "/exports", {"source": "audit", "format": "jsonl"})
        case _:
            id_ = new_id()
            postgres = await asyncpg.connect(house.database.admin_url)
            await postgres.execute(_ROWS[what], id_, owner.user_id)
            await postgres.close()
            return id_


def _made(owner: Owner, path: str, body: dict[str, Any]) -> str:
    return str(owner.http.post(ADMIN + path, json=body).raise_for_status().json()["id"])


def answered(http: httpx.Client, route: Route, id_: str) -> tuple[int, str, frozenset[str]]:
    """What a route says of an id, without the id."""
    method, path, body = route
    answer = http.request(method, ADMIN + path.format(id=id_), json=body)
    text = answer.text.replace(id_, "...").replace(answer.headers["x-request-id"], "...")
    return answer.status_code, text, frozenset(answer.headers)


def absent(id_: str) -> str:
    """An id that nothing has, one bit away: an export's says which source it is of."""
    return id_[:20] + f"{int(id_[20], 16) ^ 1:x}" + id_[21:]


@pytest.mark.parametrize("what", ROUTES)
async def test_anothers_is_answered_as_what_does_not_exist(house: House, owner: Owner, what: str) -> None:
    id_ = await own(house, owner, what)
    http = owner.http
    with house.client(STRANGERS.get(what, "admin")) as stranger:
        for route in ROUTES[what]:
            status, text, headers = answered(stranger, route, id_)
            assert (status, text, headers) == answered(stranger, route, absent(id_)), route
            assert status == 404, (route, text)
        # It is there, and nothing that the other tried did anything to it.
        method, path, body = ROUTES[what][0]
        assert http.request(method, ADMIN + path.format(id=id_), json=body).is_success
        for method, path, body in ROUTES[what][1:]:
            if method == "DELETE":
                http.request(method, ADMIN + path.format(id=id_), json=body).raise_for_status()
