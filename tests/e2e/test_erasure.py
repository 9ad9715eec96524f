"""A person comes, acts, is told things and is erased: through the public API, on four processes and a real broker.

What tells of them is a canary: texts that are nowhere else. After the erasure none of its forms is in any column of any
schema but the audit log's tables, nor in a queue; after the log's own redaction it is nowhere.
"""

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from libs.common.ids import new_id
from tests.contract.security.canaries import Canaries, all_rows
from tests.demo.administrator import ADMIN, Administrator
from tests.e2e.steps import a_setting, put
from tests.support.broker_queues import lying_in
from tests.support.eventually import eventually
from tests.support.mail_server import HOST, MailServer, mail_server
from tests.support.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, running_provider, sign_in_at
from tests.support.platforms import running_services
from tests.support.postgres import PlatformDatabases
from tests.support.processes import Platform
from tests.support.stem import Stem

OIDC = f"{ADMIN}/auth/oidc"
PASSWORD = "correct-Horse-8-battery-staple"
THE_LOG = "audit."
"""The log's tables, which a redaction of its own goes over."""


@dataclass(slots=True)
class Place:
    """The platform, who vouches for people, and where their mails go."""

    platform: Platform
    provider: OpenIdProvider
    server: MailServer


@pytest.fixture
async def place(
    stem: Stem, platform_databases: PlatformDatabases, rabbitmq: str, tmp_path: Path
) -> AsyncIterator[Place]:
    """All of it, running."""
    async with running_provider() as provider, mail_server(tmp_path) as server:
        extra = {
            "REEVE_OIDC_ISSUER": provider.issuer,
            "REEVE_OIDC_CLIENT_ID": CLIENT_ID,
            "REEVE_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "REEVE_OIDC_ROLE_MAP": json.dumps({"reeve-admins": "admin"}),
            "REEVE_SMTP_URL": f"smtp+plain://{HOST}:{server.port}",
            "REEVE_MAIL_FROM": "reeve@example.com",
        }
        folder = tmp_path / "platform"
        folder.mkdir()
        async with running_services(
            folder, databases=platform_databases, amqp_url=rabbitmq, launcher=stem, extra=extra
        ) as platform:
            yield Place(platform, provider, server)


@dataclass(slots=True)
class Person:
    """Somebody whose every text is a canary."""

    name: str
    email: str
    words: str
    agent: str
    id: str = ""


def person(canaries: Canaries, who: str) -> Person:
    """Somebody new. In lower case, as the log's words are."""
    mark = secrets.token_hex(6)
    canaries.add(f"{who}: name", f"kanari-{mark}")
    canaries.add(f"{who}: domain", f"nest-{mark}")
    canaries.add(f"{who}: words", f"words-{mark}")
    canaries.add(f"{who}: program", f"agent-{mark}")
    return Person(
        f"kanari-{mark}", f"kanari-{mark}@nest-{mark}.example", f"words-{mark} of kanari-{mark}@nest-{mark}.example",
        f"agent-{mark}",
    )  # fmt: skip


async def letters_to(place: Place, who: Person, count: int) -> list[str]:
    """The texts of the mails that somebody got, once there are so many."""

    def found() -> list[str] | None:
        mine = [one.part("plain") for one in place.server.taken if who.email in one.recipients]
        return mine if len(mine) >= count else None

    mine = await eventually(found, within_seconds=15)
    assert isinstance(mine, list)
    return mine


async def by_password(place: Place, boss: Administrator, http: httpx.AsyncClient, who: Person) -> Administrator:
    """Made, activated by a link, and signed in."""
    body = {"email": who.email, "name": who.name, "role": "admin"}
    who.id = (await boss.call("POST", "/users", json=body)).raise_for_status().json()["id"]
    (mail,) = await letters_to(place, who, 1)
    token = mail.partition("#token=")[2].split()[0]
    chosen = await http.post(f"{ADMIN}/auth/activate", json={"token": token, "password": PASSWORD})
    assert chosen.status_code == 204, chosen.text
    tried = {"email": who.email, "password": "not the password at all"}
    assert (await http.post(f"{ADMIN}/auth/login", json=tried)).status_code == 401
    return await Administrator.sign_in(http, email=who.email, password=PASSWORD)


async def elsewhere(place: Place, boss: Administrator, http: httpx.AsyncClient, who: Person) -> Administrator:
    """Signed in at the provider, where the subject is their name."""
    await place.provider.configure(
        accounts={who.name: {"roles": ["reeve-admins"], "email": who.email, "email_verified": True, "name": who.name}},
        client={"redirect_uris": [f"{place.platform.url}{OIDC}/callback"]},
    )
    async with place.provider.browser() as there:
        for _ in range(2):
            began = await http.get(f"{OIDC}/login")
            cookie = began.headers["set-cookie"].partition(";")[0]
            callback = f"{place.platform.url}{OIDC}/callback"
            back = await sign_in_at(there, began.headers["location"], login=who.name, until=callback)
            answer = await http.get(back, headers={"cookie": cookie})
            assert answer.status_code == 200, answer.text
            # The next time from another program.
            http.headers["user-agent"] = f"Second {who.agent}"
    who.id = answer.json()["admin"]["id"]
    return Administrator(http, answer.json()["access_token"])


async def act(place: Place, http: httpx.AsyncClient, me: Administrator, who: Person) -> None:
    """Use what there is to use, with one's own words everywhere that asks for some."""
    key = await a_setting(me, reason=who.words)
    changed = await http.put(
        f"{ADMIN}/settings/{key}", json={"value": 7, "reason": who.words},
        headers={**me.headers, "idempotency-key": new_id()},
    )  # fmt: skip
    assert changed.status_code == 200, changed.text
    later = await put(me, http, key, 8, prefer="respond-async")
    assert later.status_code == 202
    asked = {"permission": "roles:write", "reason": who.words}
    assert (await me.call("POST", "/access/requests", json=asked)).status_code == 201
    search = {"name": who.name, "filters": {"q": who.name}, "is_shared": False}
    kept = await me.call("POST", "/audit/saved-searches", json=search)
    assert kept.status_code == 201, kept.text
    for path in ("/users", "/audit/logs", "/notifications", "/settings", "/roles"):
        assert (await me.call("GET", path)).status_code == 200
    assert (await me.call("GET", "/clients")).status_code == 403
    assert (await me.call("PUT", "/notifications/mark-all-read")).status_code < 300


async def quiet(place: Place) -> None:
    """Whatever was on its way has arrived: nothing waits in an outbox or in a queue."""

    async def empty() -> bool:
        rows = await all_rows(place.platform.admin_database)
        waits = any(name.endswith(".outbox") for name, _ in rows)
        return not waits and not await lying_in(place.platform.amqp_url, place.platform.namespace)

    await eventually(empty, within_seconds=20, every_seconds=0.2)


async def erase(place: Place, boss: Administrator, who: Person) -> None:
    """Erase somebody, and wait until every service said that it did."""
    answer = await boss.call("DELETE", f"/users/{who.id}", params={"confirm": True, "erase": True})
    assert answer.status_code == 204, answer.text

    async def all_said() -> bool:
        told = (await boss.get(f"/audit/targets/user/{who.id}", limit=200))["history"]
        return {"erase_user", "erase_user_in_settings", "erase_user_in_notifications"} <= {
            one["action"] for one in told
        }

    await eventually(all_said, within_seconds=20, every_seconds=0.1)


async def all_rows_but_strangers(place: Place) -> list[tuple[str, bytes]]:
    """Every row but those of requests by whoever had not said who they are: nobody can tell whose they were. They name no
    account, and go when the log prunes them."""
    connection = await asyncpg.connect(place.platform.admin_database)
    try:
        entries = await connection.fetch(
            "SELECT * FROM audit.entries WHERE NOT (actor_type = 'anonymous' AND target_id IS NULL)"
        )
    finally:
        await connection.close()
    rows = [(name, row) for name, row in await all_rows(place.platform.admin_database) if "audit.entries" not in name]
    return [*rows, *(("audit.entries", str(dict(row)).encode()) for row in entries)]


async def redact(boss: Administrator, who: Person) -> dict[str, Any]:
    """Ask for the log's part now, which would begin by itself a minute later; the job at its end."""
    body = {"subject_type": "user", "subject_id": who.id, "reason": "case 2026-17"}
    asked = await boss.call("POST", "/audit/redactions", json=body)
    assert asked.status_code == 200, asked.text
    assert asked.json()["reason"] == "account erased"

    async def done() -> dict[str, Any] | None:
        job: dict[str, Any] = await boss.get(f"/audit/redactions/{asked.json()['id']}")
        return job if job["state"] == "succeeded" else None

    job = await eventually(done, within_seconds=30, every_seconds=0.1)
    assert isinstance(job, dict)
    return job


@pytest.mark.parametrize("comes", [by_password, elsewhere])
async def test_nothing_is_left_of_a_person_in_any_form_in_any_table_or_queue(place: Place, comes: Any) -> None:
    canaries = Canaries()
    who = person(canaries, "person")
    platform = place.platform
    async with (
        httpx.AsyncClient(base_url=platform.url, timeout=15, headers={"user-agent": "e2e/1"}) as theirs,
        httpx.AsyncClient(base_url=platform.url, timeout=15, headers={"user-agent": who.agent}) as http,
    ):
        boss = await Administrator.sign_in(theirs, email=platform.email, password=platform.password)
        me = await comes(place, boss, http, who)
        if comes is by_password:
            http.headers["user-agent"] = f"Second {who.agent}"
            me = await Administrator.sign_in(http, email=who.email, password=PASSWORD)
        mails = await letters_to(place, who, 2 if comes is by_password else 1)
        assert (f"Second {who.agent[:5]}" in mails[-1], f"{platform.url}/sessions" in mails[-1]) == (True, True)
        own = [one async for one in me.pages("/notifications", "notifications", type="account_notice")]
        assert [one["recipient_user_id"] for one in own] == [who.id]
        assert [one async for one in boss.pages("/notifications", "notifications", type="account_notice")] == []
        await act(place, http, me, who)
        await http.post(f"{ADMIN}/auth/password/forgot", json={"email": who.email})
        await quiet(place)
        before = {name for name, _ in canaries.found_in(await all_rows(platform.admin_database))}
        wanted = {"gateway.users", "gateway.sessions", "gateway.access_requests", "settings.setting_history"}
        assert wanted | {"notifications.notifications", "audit.saved_searches"} <= before, before
        if comes is elsewhere:
            assert {"gateway.external_identities", "gateway.external_sessions"} <= before

        await erase(place, boss, who)
        await quiet(place)
        left = canaries.found_in(await all_rows(platform.admin_database))
        assert {name for name, _ in left if not name.startswith(THE_LOG)} == set()
        assert canaries.found_in(await lying_in(platform.amqp_url, platform.namespace)) == set()

        written = [(file.name, file.read_bytes()) for file in platform.folder.glob("*.log")]
        assert len(written) >= 4
        assert canaries.found_in(written) == set()

        job = await redact(boss, who)
        assert job["entries"] > 5
        assert canaries.found_in(await all_rows_but_strangers(place)) == set()
        verified = await boss.call("POST", "/audit/verify", json={})
        assert (verified.status_code, verified.json().get("problems", [])) == (200, []), verified.text
        # What they did is still there, under an id that tells nothing.
        done = await boss.get("/audit/logs", admin_user_id=who.id, action="update_setting")
        assert [one["admin_username"] for one in done["logs"]] == [None] * done["total"]
        assert done["total"] >= 2
        assert len(place.server.taken) == len([one for one in place.server.taken if who.email in one.recipients])
