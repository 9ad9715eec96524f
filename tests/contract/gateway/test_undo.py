"""Every undoing that is offered, followed to the letter through the public API: what was before is there again."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from libs.common.ids import new_id
from services.gateway.features.audit.models import REGISTRY
from tests.support.house import ADMIN, House

LOGS = f"{ADMIN}/audit/logs"
SECONDS = 20.0


@pytest.fixture
def admin(house: House) -> Iterator[httpx.Client]:
    with house.client() as client:
        yield client


def setting(admin: httpx.Client, **given: Any) -> str:
    """A new setting; its path."""
    key = f"undo.of_{new_id()[-8:]}"
    new = {"key": key, "value": 1, "value_type": "integer", "category": "system", "config_type": "setting", **given}
    admin.post(f"{ADMIN}/settings", json=new).raise_for_status()
    return f"{ADMIN}/settings/{key}"


def user(admin: httpx.Client) -> str:
    """A new account; its path."""
    body = {"email": f"u{new_id()[-8:]}@example.com", "name": "Undone", "role": "viewer"}
    return f"{ADMIN}/users/{admin.post(f'{ADMIN}/users', json=body).raise_for_status().json()['id']}"


def changed_setting(admin: httpx.Client) -> str:
    path = setting(admin)
    admin.put(path, json={"value": 2}).raise_for_status()
    return path


def rolled_back_setting(admin: httpx.Client) -> str:
    path = changed_setting(admin)
    admin.post(f"{path}/rollback", json={"version": 1}).raise_for_status()
    return path


def moved(verb: str, tail: str, body: Any) -> Callable[[httpx.Client], str]:
    def make(admin: httpx.Client) -> str:
        path = user(admin)
        admin.request(verb, f"{path}{tail}", json=body).raise_for_status()
        return path

    return make


def sink(admin: httpx.Client) -> str:
    body = {"name": new_id(), "target": {"kind": "syslog", "host": "siem.example.com"}, "is_enabled": False}
    return f"{ADMIN}/audit/sinks/{admin.post(f'{ADMIN}/audit/sinks', json=body).raise_for_status().json()['id']}"


CASES: dict[str, tuple[Callable[[httpx.Client], str], str, Any]] = {
    "reeve.setting.changed.v1": (changed_setting, "value", 1),
    "reeve.setting.rolled_back.v1": (rolled_back_setting, "value", 2),
    "reeve.setting.created.v1": (setting, "", 404),
    "reeve.user.role_changed.v1": (moved("PUT", "/role", {"role": "moderator"}), "role", "viewer"),
    "reeve.user.status_changed.v1": (
        moved("PUT", "/status", {"is_active": False, "reason": "left"}),
        "is_active",
        True,
    ),
    "reeve.user.deleted.v1": (moved("DELETE", "?confirm=true", None), "is_active", True),
    "reeve.sink.created.v1": (sink, "", 404),
}
"""What makes an entry of a type, and what is to be there again: a member with its value, or nothing (404)."""


def entry_of(admin: httpx.Client, path: str, kind: str) -> dict[str, Any]:
    """The newest entry of a type about the thing at a path, whole."""
    target_id, deadline = path.rpartition("/")[2], time.monotonic() + SECONDS
    while True:
        logs = admin.get(LOGS, params={"target_id": target_id, "limit": 50}).raise_for_status().json()["logs"]
        found = [entry for entry in logs if entry["event_type"] == kind]
        if found:
            view: dict[str, Any] = admin.get(f"{LOGS}/{found[0]['id']}").raise_for_status().json()
            return view
        assert time.monotonic() < deadline, [entry["event_type"] for entry in logs]
        time.sleep(0.05)


def follow(client: httpx.Client, undo: dict[str, Any]) -> httpx.Response:
    """Send what is offered, as it is."""
    return client.request(undo["method"], undo["path"], json=undo["body"], headers=undo["headers"])


def test_every_registered_type_is_tried() -> None:
    assert CASES.keys() == REGISTRY.keys()


@pytest.mark.parametrize("kind", CASES)
def test_an_undoing_restores_what_was_before_and_both_entries_say_so(admin: httpx.Client, kind: str) -> None:
    make, member, before = CASES[kind]
    path = make(admin)
    original = entry_of(admin, path, kind)
    assert original["undone_by"] is None
    done = follow(admin, original["undo"])
    assert done.status_code in (200, 204), done.text
    now = admin.get(path)
    assert (now.json()[member] if member else now.status_code) == before
    deadline = time.monotonic() + SECONDS
    while (again := admin.get(f"{LOGS}/{original['id']}").json())["undone_by"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert again["undo"] is None, "once undone, it is not offered again"
    undoing = admin.get(f"{LOGS}/{again['undone_by']}").json()
    assert undoing["details"]["undoes"] == original["id"]
    assert (undoing["target_id"], undoing["outcome"]) == (original["target_id"], "success")


def test_what_changed_since_is_not_overwritten(admin: httpx.Client) -> None:
    path = changed_setting(admin)
    undo = entry_of(admin, path, "reeve.setting.changed.v1")["undo"]
    admin.put(path, json={"value": 3}).raise_for_status()
    assert follow(admin, undo).status_code == 412
    assert admin.get(path).json()["value"] == 3


def test_undoing_needs_the_permission_of_what_it_does(admin: httpx.Client, house: House) -> None:
    path = changed_setting(admin)
    entry = entry_of(admin, path, "reeve.setting.changed.v1")
    with house.client("viewer") as viewer:
        assert viewer.get(f"{LOGS}/{entry['id']}").json()["undo"] is None
        assert follow(viewer, entry["undo"]).status_code == 403
    assert admin.get(path).json()["value"] == 2
    assert admin.get(f"{LOGS}/{entry['id']}").json()["undone_by"] is None, "a refused undoing is none"


def test_what_is_masked_is_not_offered(admin: httpx.Client) -> None:
    path = setting(admin, value_type="secret", value="sk_first", config_type="integration")
    admin.put(path, json={"value": "sk_second"}).raise_for_status()
    assert entry_of(admin, path, "reeve.setting.changed.v1")["undo"] is None


def test_a_link_to_what_is_no_entry_is_refused(admin: httpx.Client) -> None:
    path = changed_setting(admin)
    refused = admin.put(path, json={"value": 9}, headers={"Reeve-Undoes": "that one"})
    assert (refused.status_code, refused.json()["detail"]["error"]) == (400, "invalid_undoes")
    assert admin.get(path).json()["value"] == 2
