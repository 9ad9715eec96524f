"""From accepted to provable: how long after its commit an entry is in the tree, and below a signed head, at a steady rate."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import AUDIT_EVENTS
from libs.common.database.engine import Database
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.packing import packs, to_message
from libs.common.delivery.subscriber import Subscriber
from libs.common.events.all_types import CATALOG
from services.audit.handlers import Recorder
from services.audit.log.notes import SigningKey
from services.audit.sequencer import Sequencer
from services.audit.signer import Signer
from services.audit.store import tree
from tests.bench.audit_figures import an_entry_event
from tests.support.makers import a_claimed_row
from tests.support.postgres import PlatformDatabases

RATE = 500
EACH_SECONDS = 0.02
LOOK_SECONDS = 0.01
Commits = list[tuple[float, int]]
"""When a batch was committed, and how many entries there were then."""


async def integration_figures(admin_url: str, *, seconds: float) -> dict[str, Any]:
    """Milliseconds at 500 entries a second: consumer, sequencer and signer in this process, as one machine has them."""
    databases = PlatformDatabases(admin_url)
    try:
        platform = await databases.make("audit")
        database = platform.database("audit")
        try:
            found = await _watched(database, int(RATE * seconds))
        finally:
            await database.close()
        await databases.give_back(platform)
        return found
    finally:
        await databases.close()


async def _watched(database: Database, count: int) -> dict[str, Any]:
    transport = EmbeddedTransport(queues=(AUDIT_EVENTS,))
    recorder, sequencer = Recorder(), Sequencer(database)
    commits: Commits = []

    async def after(arrived: Sequence[Arrived]) -> None:
        commits.append((time.perf_counter(), (commits[-1][1] if commits else 0) + len(arrived)))
        await recorder.count_stored(arrived)
        sequencer.wake()

    subscriber = Subscriber(
        database, transport, AUDIT_EVENTS, handle=recorder.record_events, after=after, catalog=CATALOG
    )
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as folder:
        signer = Signer(database, SigningKey("bench.example/log", Ed25519PrivateKey.generate()), Path(folder))
        tasks = [asyncio.create_task(one.run()) for one in (subscriber, sequencer, signer)]
        try:
            looking = asyncio.create_task(_look(database, count))
            await _send(transport, count)
            grown, signed = await asyncio.wait_for(looking, 60)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await transport.close()
    return {"per_second": RATE, "entries": count, "tree": _waits(commits, grown), "signed": _waits(commits, signed)}


async def _send(transport: EmbeddedTransport, count: int) -> None:
    """A steady stream, as the relay packs it."""
    size = int(RATE * EACH_SECONDS)
    begin = time.perf_counter()
    for turn, first in enumerate(range(1, count + 1, size)):
        made = [an_entry_event(number, 1) for number in range(first, min(first + size, count + 1))]
        rows = [
            a_claimed_row(
                number, id=event.id, type=event.type, source=event.source, subject=event.subject, data=event.data,
                actorid=event.actorid, actortype=event.actortype,
            )
            for number, event in enumerate(made, first)
        ]  # fmt: skip
        for pack in packs(rows):
            await transport.publish(to_message(pack, producer="gateway"))
        await asyncio.sleep(max(0.0, begin + (turn + 1) * EACH_SECONDS - time.perf_counter()))


async def _look(database: Database, count: int) -> tuple[Commits, Commits]:
    """Size of the tree and of the signed head, each when it was first seen."""
    grown: Commits = []
    signed: Commits = []
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(database.reading())
        while not signed or signed[-1][1] < count:
            state = await tree.state(session)
            now = time.perf_counter()
            for seen, size in ((grown, state.size), (signed, state.signed or 0)):
                if size > (seen[-1][1] if seen else 0):
                    seen.append((now, size))
            await asyncio.sleep(LOOK_SECONDS)
    return grown, signed


def _waits(commits: Commits, seen: Commits) -> dict[str, float]:
    """Median and 99th percentile over all entries, from their commit until they were seen below a size."""
    waits: list[float] = []
    place, before = 0, 0
    for committed_at, size in commits:
        for number in range(before + 1, size + 1):
            while seen[place][1] < number:
                place += 1
            waits.append(max(0.0, seen[place][0] - committed_at) * 1000)
        before = size
    waits.sort()
    return {"p50_ms": round(waits[len(waits) // 2], 1), "p99_ms": round(waits[int(len(waits) * 0.99)], 1)}
