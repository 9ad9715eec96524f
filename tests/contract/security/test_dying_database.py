"""The database dies again and again under a load of reads and writes: each is done and recorded, or refused as one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.eventually import eventually
from tests.support.house import ADMIN, House, open_house
from tests.support.postgres import PlatformDatabases

SERVICES = ("gateway", "audit", "settings", "notifications")
REQUESTS = 300
AT_ONCE = 24
PAUSE_SECONDS = 0.3
"""Between two deaths: some requests come through, some do not."""
NOT_ASKED = (500, "permission_check_failed")
"""Nobody could say who asks: no handler ran."""
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user"
_RECORDED = "SELECT request_id FROM audit.entries WHERE request_id LIKE 'dying-%' AND outcome = 'success'"
_MADE = "SELECT email FROM gateway.users WHERE email LIKE 'dying-%'"
_TOLD = (
    "SELECT u.email FROM gateway.users u WHERE email LIKE 'dying-%' AND EXISTS (SELECT FROM audit.entries e"
    " WHERE e.action = 'create_user' AND e.outcome = 'success' AND e.target_id = u.id::text)"
)
_CHANGED = "SELECT value #>> '{}' FROM settings.setting_history WHERE key = 'store_trial_days' AND step = 'changed'"
_CHANGES = "SELECT changes #>> '{value,new}' FROM audit.entries WHERE action = 'update_setting' AND outcome = 'success'"


@pytest.fixture
async def mortal(platform_databases: PlatformDatabases, tmp_path: Path) -> AsyncIterator[House]:
    """A platform of its own, so that nobody else's database dies."""
    database = await platform_databases.make(*SERVICES)
    opened = await asyncio.to_thread(open_house, database, tmp_path)
    yield opened
    await asyncio.to_thread(opened.stop)
    await platform_databases.give_back(database)


@dataclass(slots=True)
class Load:
    """Reads and two kinds of writes, each sent once; what was answered, by number."""

    token: str
    left: list[int] = field(default_factory=lambda: list(range(REQUESTS)))
    answers: dict[int, httpx.Response] = field(default_factory=dict)

    async def work(self, http: httpx.AsyncClient) -> None:
        """Send what is left, one after the other."""
        while self.left:
            number = self.left.pop()
            method, path, body = _request(number)
            headers = {"authorization": f"Bearer {self.token}", "x-request-id": f"dying-{number:04}"}
            self.answers[number] = await http.request(method, ADMIN + path, json=body, headers=headers)

    def done(self, kind: int | None = None) -> set[int]:
        """Of one kind, or all, what was answered with success."""
        return {n for n, one in self.answers.items() if one.is_success and kind in (None, n % 3)}


def _request(number: int) -> tuple[str, str, dict[str, Any] | None]:
    match number % 3:
        case 0:
            return "POST", "/users", {"email": f"dying-{number:04}@example.com", "name": "D", "role": "viewer"}
        case 1:
            return "PUT", "/settings/store_trial_days", {"value": 1000 + number}
        case _:
            return "GET", "/settings", None


async def _die(postgres: asyncpg.Connection, until: asyncio.Event) -> int:
    ended = 0
    while not until.is_set():
        ended += len(await postgres.fetch(_END))
        await asyncio.sleep(PAUSE_SECONDS)
    return ended


async def test_each_answer_is_recorded_or_503_and_nothing_else(mortal: House) -> None:
    load, over = Load(await asyncio.to_thread(mortal.token, "super_admin")), asyncio.Event()
    postgres = await asyncpg.connect(mortal.database.admin_url)
    try:
        async with httpx.AsyncClient(base_url=mortal.url, timeout=60) as http:
            death = asyncio.create_task(_die(postgres, over))
            await asyncio.gather(*(load.work(http) for _ in range(AT_ONCE)))
            over.set()
            ended = await death
        await _compare(load, postgres)
    finally:
        await postgres.close()
    assert ended > 20
    assert 0 < len(load.done()) < REQUESTS


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["error"]


async def _compare(load: Load, postgres: asyncpg.Connection) -> None:
    assert len(load.answers) == REQUESTS
    for number, answer in load.answers.items():
        if not answer.is_success:
            detail = answer.json()["detail"]
            assert answer.status_code == 503 or refusal(answer) == NOT_ASKED, (number, answer.text)
            assert set(detail) <= {"error", "message", "request_id"}, number
            assert answer.headers["x-request-id"] == f"dying-{number:04}"

    async def column(query: str) -> set[str]:
        return {row[0] for row in await postgres.fetch(query)}

    async def all_told() -> bool:
        recorded = await column(_RECORDED)
        assert {f"dying-{number:04}" for number in load.done()} <= recorded
        # Also what was done though its answer was lost, or was 503 because nobody could know: never unrecorded.
        assert await column(_MADE) == await column(_TOLD)
        assert (changed := await column(_CHANGED)) == await column(_CHANGES)
        # 202 says that the change was accepted: it may come after its answer.
        assert {str(1000 + number) for number in load.done(1)} <= changed
        return True

    await eventually(all_told, within_seconds=60, every_seconds=0.2)
    assert {f"dying-{number:04}@example.com" for number in load.done(0)} <= await column(_MADE)
    unasked = {n for n, one in load.answers.items() if one.status_code == 500}
    assert not {f"dying-{number:04}@example.com" for number in unasked} & await column(_MADE)
    assert not {str(1000 + number) for number in unasked} & await column(_CHANGED)
