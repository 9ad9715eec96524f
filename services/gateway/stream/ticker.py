"""The `metrics` topic: a few live figures every five seconds, while somebody listens."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from libs.common import metrics
from libs.common.database import outbox
from libs.common.database.engine import Database
from libs.common.errors import Unavailable
from libs.common.events.envelope import Event
from libs.common.ids import new_id
from services.gateway.stream.hub import Hub
from services.gateway.stream.topics import Topic

TICK_SECONDS = 5.0
TYPE = "reeve.metrics.sampled.v1"


def metrics_ticker(hub: Hub, database: Database) -> Callable[[], Awaitable[None]]:
    """A task that tells the clients of the `metrics` topic how the gateway does."""

    async def tick() -> None:
        before = _answered()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = _answered()
            rate, before = (now - before) / TICK_SECONDS, now
            if not hub.has_listeners(Topic.METRICS):
                continue
            try:
                async with database.reading() as session:
                    backlog = await outbox.backlog(session)
            except Unavailable:
                continue
            hub.tell(Topic.METRICS, _sample(rate, backlog.count, hub.clients))

    return tick


def _answered() -> float:
    return sum(
        sample.value
        for family in metrics.REQUESTS.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels.get("service") == "gateway"
    )


def _sample(rate: float, unsent: int, clients: int) -> Event:
    figures = {"requests_per_second": round(rate, 2), "outbox_unsent": unsent, "stream_clients": clients}
    return Event(id=new_id(), source="/reeve/gateway", type=TYPE, time=datetime.now(UTC), data=figures)
