"""Looks at every part of the platform, each within two seconds, and remembers since when it does as it does."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from libs.common.broker.topology import QUEUES
from libs.common.broker.transport import Transport
from libs.common.database import outbox
from libs.common.database.engine import Database
from services.gateway.features.system.schemas import Component, HealthResponse, Kind, Status
from services.gateway.upstream.client import Carrier

SERVICES = ("audit", "settings", "notifications")
CHECK_SECONDS = 2.0
LONG_QUEUE = 10_000
OLD_OUTBOX_SECONDS = 30.0
LITTLE_DISK = 0.05


class HealthBoard:
    """Checks on demand; the answers are shared for a second so that nobody can hammer the components with it."""

    def __init__(self, *, database: Database, transport: Transport, carrier: Carrier, data_dir: Path) -> None:
        self._database = database
        self._transport = transport
        self._carrier = carrier
        self._data_dir = data_dir
        self._since: dict[str, tuple[Status, datetime]] = {}
        self._last: tuple[float, HealthResponse] | None = None
        self._lock = asyncio.Lock()

    async def look(self) -> HealthResponse:
        """The health of everything, at most a second old."""
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > 1.0:
                self._last = (time.monotonic(), await self._check())
            return self._last[1]

    async def _check(self) -> HealthResponse:
        checks = [self._guarded(f"service {name}", Kind.SERVICE, self._service(name)) for name in SERVICES]
        checks += [
            self._guarded("database", Kind.DATABASE, self._ping),
            self._guarded("broker", Kind.BROKER, self._broker),
            self._guarded("outbox gateway", Kind.OUTBOX, self._outbox),
            self._guarded("disk", Kind.DISK, self._disk),
        ]
        checks += [
            self._guarded(f"queue {queue.name}", Kind.QUEUE, self._queue(queue.name, dead=False)) for queue in QUEUES
        ]
        checks += [
            self._guarded(f"queue {queue.dead}", Kind.QUEUE, self._queue(queue.dead, dead=True)) for queue in QUEUES
        ]
        found = [self._with_since(one) for one in await asyncio.gather(*checks)]
        worst = max((one.status for one in found), key=list(Status).index)
        return HealthResponse(status=worst, checked_at=datetime.now(UTC), components=found)

    async def _guarded(self, name: str, kind: Kind, check: Callable[[], Awaitable[Component]]) -> Component:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                found = await check()
        except Exception as error:
            message = "no answer in time" if isinstance(error, TimeoutError) else f"failed: {type(error).__name__}"
            return Component(name=name, kind=kind, status=Status.ERROR, message=message)
        latency = round((time.perf_counter() - started) * 1000, 2)
        return found.model_copy(update={"name": name, "latency_ms": latency})

    def _with_since(self, component: Component) -> Component:
        known = self._since.get(component.name)
        if known is None or known[0] is not component.status:
            known = (component.status, datetime.now(UTC))
            self._since[component.name] = known
        return component.model_copy(update={"since": known[1]})

    def _service(self, name: str) -> Callable[[], Awaitable[Component]]:
        async def check() -> Component:
            answer = await self._carrier.get(name, "/readyz", {})
            ready = answer.status == 200
            return Component(
                name=name, kind=Kind.SERVICE, status=Status.HEALTHY if ready else Status.ERROR,
                message="ready" if ready else f"not ready: status {answer.status}",
            )  # fmt: skip

        return check

    def _queue(self, name: str, *, dead: bool) -> Callable[[], Awaitable[Component]]:
        async def check() -> Component:
            depth = await self._transport.depth(name)
            long = depth > (0 if dead else LONG_QUEUE)
            return Component(
                name=name, kind=Kind.QUEUE, status=Status.WARNING if long else Status.HEALTHY,
                message=f"{depth} waiting", figures={"depth": depth},
            )  # fmt: skip

        return check

    async def _ping(self) -> Component:
        await self._database.ping()
        return Component(name="", kind=Kind.DATABASE, status=Status.HEALTHY, message="Database connection OK")

    async def _broker(self) -> Component:
        ok = self._transport.is_connected
        return Component(
            name="", kind=Kind.BROKER, status=Status.HEALTHY if ok else Status.ERROR,
            message="connected" if ok else "not connected", figures={"transport": self._transport.kind},
        )  # fmt: skip

    async def _outbox(self) -> Component:
        async with self._database.reading() as session:
            backlog = await outbox.backlog(session)
        old = backlog.oldest_seconds > OLD_OUTBOX_SECONDS
        return Component(
            name="", kind=Kind.OUTBOX, status=Status.WARNING if old else Status.HEALTHY,
            message=f"{backlog.count} unsent", figures={"unsent": backlog.count, "oldest_seconds": round(backlog.oldest_seconds, 3)},
        )  # fmt: skip

    async def _disk(self) -> Component:
        usage = await asyncio.to_thread(shutil.disk_usage, self._data_dir if self._data_dir.exists() else Path())
        share = usage.free / usage.total
        return Component(
            name="", kind=Kind.DISK, status=Status.WARNING if share < LITTLE_DISK else Status.HEALTHY,
            message=f"{share:.0%} free", figures={"free_bytes": usage.free, "total_bytes": usage.total},
        )  # fmt: skip
