"""What the tests of the whole path do again and again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from libs.common.ids import new_id
from tests.demo.administrator import ADMIN, Administrator
from tests.support.eventually import eventually
from tests.support.platforms import CLIENT

LIVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Told:
    """One frame of the stream."""

    id: str
    topic: str
    data: dict[str, Any]


@dataclass(slots=True)
class Listening:
    """An open stream."""

    frames: list[Told] = field(default_factory=list)
    has_ended: bool = False

    async def hears(self, wanted: Callable[[Told], object]) -> Told:
        """The first frame that is wanted, told already or soon."""
        await eventually(lambda: any(map(wanted, self.frames)), within_seconds=LIVE_SECONDS)
        return next(one for one in self.frames if wanted(one))

    async def read(self, response: httpx.Response) -> None:
        """Take in frames until the server ends the stream."""
        lines: dict[str, str] = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                lines[name] = value
            else:
                if "data" in lines:
                    self.frames.append(Told(lines.get("id", ""), lines.get("event", ""), orjson.loads(lines["data"])))
                lines = {}
        self.has_ended = True


@asynccontextmanager
async def listening(
    http: httpx.AsyncClient, headers: Mapping[str, str], topics: str, *, after: str | None = None
) -> AsyncIterator[Listening]:
    """A stream of some topics, from the place `after` on."""
    given = {**headers, **({"last-event-id": after} if after else {})}
    async with http.stream("GET", f"{ADMIN}/stream", params={"topics": topics}, headers=given, timeout=None) as answer:
        assert answer.status_code == 200, await answer.aread()
        heard = Listening()
        reading = asyncio.create_task(heard.read(answer))
        try:
            yield heard
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def a_setting(admin: Administrator, **given: Any) -> str:
    """A new setting's key."""
    key = f"e2e.s{new_id()[-12:]}"
    body = {"key": key, "value": 1, "value_type": "integer", "category": "e2e", **given}
    answer = await admin.call("POST", "/settings", json=body)
    assert answer.status_code == 201, answer.text
    return key


async def put(admin: Administrator, http: httpx.AsyncClient, key: str, value: object, **headers: str) -> httpx.Response:
    """Set a setting, with more headers."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return await http.put(f"{ADMIN}/settings/{key}", json={"value": value}, headers={**admin.headers, **named})


async def entries(admin: Administrator, count: int, **filters: str) -> list[dict[str, Any]]:
    """The audit entries that match, once there are `count` of them."""

    async def found() -> list[dict[str, Any]] | None:
        logs: list[dict[str, Any]] = (await admin.get("/audit/logs", limit=200, **filters))["logs"]
        assert len(logs) >= count, f"{len(logs)} of {count} entries with {filters}"
        return logs

    logs = await eventually(found, within_seconds=LIVE_SECONDS, every_seconds=0.05)
    assert isinstance(logs, list)
    assert len(logs) == count, logs
    return logs


async def a_user(admin: Administrator, http: httpx.AsyncClient, role: str) -> Administrator:
    """A new administrator with a role, signed in."""
    email, password = f"{role.replace('_', '-')}-{new_id()[-8:]}@example.com", f"Quite-{new_id()}-long"
    body = {"email": email, "name": role, "role": role, "password": password}
    answer = await admin.call("POST", "/users", json=body)
    assert answer.status_code == 201, answer.text
    return await Administrator.sign_in(http, email=email, password=password)


async def client_headers(http: httpx.AsyncClient) -> dict[str, str]:
    """The registered platform service, with its own access token."""
    answer = await http.post(
        "/api/v1/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(str(CLIENT["client_id"]), str(CLIENT["client_secret"])),
    )
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['access_token']}", "content-type": "application/cloudevents+json"}


def import_failed(mark: str) -> dict[str, Any]:
    """A platform's event that the first rules make a notification of."""
    return {
        "specversion": "1.0", "id": mark, "source": CLIENT["source"], "type": "platform.import.failed.v1",
        "subject": f"import/{mark}", "data": {"store_name": f"Store {mark}", "error_message": "the file ends early"},
    }  # fmt: skip


async def notifications_of(admin: Administrator, event_id: str) -> list[dict[str, Any]]:
    """The notifications that an event made."""
    return [
        one
        async for one in admin.pages("/notifications", "notifications")
        if one["notification_metadata"].get("event_id") == event_id
    ]
