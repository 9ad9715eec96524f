"""No answer leaves before its event is committed; where that fails, the answer never leaves."""

import asyncio
from typing import Any, cast

import httpx
import orjson
import pytest
from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.database.group_commit import GroupCommit
from libs.common.errors import Forbidden, Unavailable
from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import decode
from libs.common.web.app import create_app
from libs.common.web.body import StrictRoute
from services.gateway.features.idempotency.commands import IdempotencyKeys
from services.gateway.journal import Journal
from services.gateway.recorder import Recorder
from services.gateway.store import Unit
from tests.support.eventually import eventually

ADMIN = "/api/v1/admin"


class Ledger:
    """Stands where the database is: takes a while to commit, or cannot, and remembers the order of things."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.units: list[Unit] = []
        self.is_broken = False

    async def commit(self, unit: Unit) -> None:
        await asyncio.sleep(0.005)
        if self.is_broken:
            raise Unavailable("the event cannot be stored", code="audit_unavailable")
        self.units.append(unit)
        self.happened.append("committed")

    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(row.body) for unit in self.units for row in unit.rows]


class Watched:
    """The outermost layer: remembers when the head and the body of an answer left."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self._app = app
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watch(message: Message) -> None:
            self._ledger.happened.append(f"sent {message.get('status', 'body')}")
            await send(message)

        await self._app(scope, receive, watch)


class Hasty(Recorder):
    """Broken on purpose: answers first and records afterwards."""

    async def record(self, scope: Scope, status: int, *, error: str | None = None) -> None:
        self._late = asyncio.create_task(super().record(scope, status, error=error))


def platform(ledger: Ledger, recorder: type[Recorder] = Recorder) -> ASGIApp:
    app = create_app(service="gateway", title="Reeve", version="0", checks={})
    routes = APIRouter(prefix=ADMIN, route_class=StrictRoute)

    @routes.get("/read")
    async def read(request: Request) -> dict[str, str]:
        request.state.action = "read_it"
        return {"secret": "answer"}

    @routes.get("/stream")
    async def stream(request: Request) -> Response:
        request.state.action = "stream_it"

        async def parts() -> Any:
            yield b"secret "
            yield b"answer"

        return StreamingResponse(parts())

    @routes.get("/denied")
    async def denied(request: Request) -> Response:
        request.state.action = "denied_it"
        raise Forbidden("no", code="admin_permission_required")

    @routes.get("/broken")
    async def broken(request: Request) -> Response:
        request.state.action = "break_it"
        raise RuntimeError("secret inside")

    @routes.get("/spoken-for")
    async def spoken_for(request: Request) -> dict[str, str]:
        request.state.action = "write_it"
        request.state.recorded = True
        return {}

    @routes.get("/observed")
    async def observed(request: Request) -> dict[str, str]:
        request.state.action = "write_it"
        request.state.observed = "settings:write"
        return {}

    @routes.get("/observed-and-spoken-for")
    async def observed_and_spoken_for(request: Request) -> dict[str, str]:
        request.state.action = "write_it"
        request.state.observed = "settings:write"
        request.state.recorded = True
        return {}

    @routes.get("/nobody")
    async def nobody() -> dict[str, str]:
        return {}

    app.include_router(routes)
    journal = Journal(cast("GroupCommit[Unit]", ledger))
    app.add_middleware(recorder, journal=journal, keys=cast("IdempotencyKeys", None))
    return Watched(app, ledger)


async def get(app: ASGIApp, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://reeve.test") as client:
        return await client.get(f"{ADMIN}/{path}")


def is_in_order(ledger: Ledger) -> bool:
    return ledger.happened[0] == "committed"


@pytest.mark.parametrize(
    ("path", "status", "outcome"),
    [("read", 200, "success"), ("stream", 200, "success"), ("denied", 403, "denied"), ("broken", 500, "failure")],
)
async def test_the_event_is_committed_before_the_answer_leaves(path: str, status: int, outcome: str) -> None:
    ledger = Ledger()
    answer = await get(platform(ledger), path)
    assert answer.status_code == status
    assert is_in_order(ledger)
    [event] = ledger.events()
    assert (event["data"]["outcome"], event["data"]["status"]) == (outcome, status)
    assert "secret" not in str(event)


async def test_a_recorder_that_answers_first_is_seen() -> None:
    ledger = Ledger()
    await get(platform(ledger, Hasty), "read")
    await eventually(lambda: bool(ledger.units))
    assert not is_in_order(ledger)


@pytest.mark.parametrize("path", ["read", "stream", "denied", "broken"])
async def test_what_cannot_be_recorded_is_not_answered(path: str) -> None:
    ledger = Ledger()
    ledger.is_broken = True
    answer = await get(platform(ledger), path)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (503, "audit_unavailable")
    assert "secret" not in answer.text
    assert [one for one in ledger.happened if one.startswith("sent") and one != "sent body"] == ["sent 503"]


@pytest.mark.parametrize("path", ["observed", "observed-and-spoken-for"])
async def test_what_would_have_been_denied_is_always_said(path: str) -> None:
    ledger = Ledger()
    await get(platform(ledger), path)
    assert is_in_order(ledger)
    [event] = ledger.events()
    assert event["data"]["outcome"] == "success"
    assert event["data"]["would_deny"] == "settings:write"
    assert CATALOG.check(decode(orjson.dumps(event))) is None


async def test_a_request_is_recorded_once() -> None:
    for path, count in (("read", 1), ("spoken-for", 0), ("nobody", 0), ("no-such-path", 0)):
        ledger = Ledger()
        await get(platform(ledger), path)
        assert len(ledger.units) == count, path
