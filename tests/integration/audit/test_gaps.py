"""A message that is withheld is a gap: told of once, whatever restarts, and closed when it comes after all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from libs.common.database import inbox
from libs.common.database.engine import driver
from libs.common.events.envelope import Event, decode
from services.audit.watcher import MISSING, Watcher
from tests.integration.audit.archive import Archive, Built, message_of, request_recorded
from tests.support.eventually import eventually

BOUND = 60.0
Publish = Callable[..., Awaitable[None]]


@pytest.fixture
async def publish(built: Built, archive: Archive) -> Publish:
    """Sends these numbers of the gateway, each a message, and waits until the service has them."""

    async def sending(*numbers: int) -> None:
        before = await archive.value("SELECT count(*) FROM entries")
        # A consumer of its own for each turn: what is known of the gap is in the database alone.
        task = asyncio.ensure_future(built.service.tasks[0]())
        for number in numbers:
            await built.transport.publish(message_of(request_recorded(producerseq=number)))
        await eventually(lambda: archive.value("SELECT count(*) = $1 FROM entries", before + len(numbers)))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return sending


async def change(archive: Archive, statement: str) -> None:
    async with archive.database.transaction() as session:
        await driver(session).execute(statement)


async def grow_old(archive: Archive, seconds: float = BOUND + 1) -> None:
    await change(archive, f"UPDATE inbox_seen SET seen_at = seen_at - make_interval(secs => {seconds})")


async def told(archive: Archive) -> list[Event]:
    """What was told and not delivered yet, in order; it is taken away."""
    async with archive.database.transaction() as session:
        rows = await driver(session).fetch("DELETE FROM outbox RETURNING position, body")
    return [decode(row["body"]) for row in sorted(rows, key=lambda row: row["position"])]


async def gaps(archive: Archive, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await archive.body(f"/gaps{query}"))["gaps"]
    return found


async def test_a_hole_is_told_of_once_and_closed_when_it_is_filled(archive: Archive, publish: Publish) -> None:
    await publish(1, 2, 5, 6)
    await Watcher(archive.database).turn()
    assert await told(archive) == [], "it may still come"
    assert await gaps(archive) == []
    await grow_old(archive)

    await Watcher(archive.database).turn()

    detected, alert = await told(archive)
    assert (detected.type, detected.severity) == ("reeve.audit.gap.detected.v1", "critical")
    assert {name: detected.data[name] for name in ("producer", "first", "last", "missing")} == {
        "producer": "gateway", "first": 3, "last": 4, "missing": 2,
    }  # fmt: skip
    assert alert.type == "platform.error.critical.v1"
    assert "numbers 3 to 4 of gateway" in alert.data["error_message"]
    assert MISSING.labels("gateway")._value.get() == 2
    for _ in range(3):
        await Watcher(archive.database).turn()
    assert await told(archive) == [], "after a restart as well"
    [gap] = await gaps(archive, "?state=open")
    assert (gap["first"], gap["last"], gap["state"], gap["how"]) == (3, 4, "open", None)

    await publish(4)
    await Watcher(archive.database).turn()
    assert await told(archive) == [], "half of it is still missing"
    assert MISSING.labels("gateway")._value.get() == 1
    await publish(3)
    await Watcher(archive.database).turn()
    [closed] = await told(archive)
    assert (closed.type, closed.data["gap_id"], closed.data["how"]) == (
        "reeve.audit.gap.closed.v1",
        gap["id"],
        "filled",
    )
    assert MISSING.labels("gateway")._value.get() == 0
    await Watcher(archive.database).turn()
    assert await told(archive) == []
    assert await gaps(archive, "?state=open") == []
    [gap] = await gaps(archive, "?state=closed")
    assert (gap["how"], gap["closed_at"] is not None) == ("filled", True)


async def test_the_same_numbers_missing_behind_a_new_hole_are_a_new_gap(archive: Archive, publish: Publish) -> None:
    await publish(1, 3)
    await grow_old(archive)
    await Watcher(archive.database).turn()
    await publish(5)
    await grow_old(archive)
    await Watcher(archive.database).turn()
    detected = [event.data["first"] for event in await told(archive) if event.type == "reeve.audit.gap.detected.v1"]
    assert detected == [2, 4]


async def test_numbers_that_come_in_another_order_within_the_bound_are_no_gap(
    archive: Archive, publish: Publish
) -> None:
    await publish(3, 2, 1, 5)
    await Watcher(archive.database).turn()
    await publish(4)
    await grow_old(archive)
    await Watcher(archive.database).turn()
    assert await told(archive) == []


async def test_several_watchers_tell_once(archive: Archive, publish: Publish) -> None:
    await publish(1, 3)
    await grow_old(archive)
    await asyncio.gather(*[Watcher(archive.database).turn() for _ in range(5)])
    assert len(await told(archive)) == 2
    assert len(await gaps(archive)) == 1


async def test_a_hole_that_is_not_waited_for_any_more_was_given_up(archive: Archive, publish: Publish) -> None:
    await publish(1, 3)
    await grow_old(archive, 15 * 86_400)
    await Watcher(archive.database).turn()
    async with archive.database.transaction() as session:
        assert await inbox.prune(session, most_rows=100_000, older_than_days=14) == 1
    await Watcher(archive.database).turn()
    assert (await told(archive))[-1].data["how"] == "given_up"


async def test_so_many_gaps_are_told_of_and_all_are_counted(archive: Archive, publish: Publish) -> None:
    await publish(*range(2, 12, 2))
    await grow_old(archive)
    for _ in range(2):
        await Watcher(archive.database, most_open=3).turn()
    assert len(await gaps(archive)) == 3
    assert MISSING.labels("gateway")._value.get() == 5
    page = await archive.body("/gaps?limit=2")
    rest = await archive.body(f"/gaps?limit=2&cursor={page['next_cursor']}")
    assert [one["first"] for one in (*page["gaps"], *rest["gaps"])] == [5, 3, 1]


async def test_what_waits_in_quarantine_is_no_gap(archive: Archive, built: Built, publish: Publish) -> None:
    await publish(1)
    task = asyncio.ensure_future(built.service.tasks[0]())
    await built.transport.publish(message_of(request_recorded(producerseq=2, type="reeve.unheard.of.v1")))
    await eventually(lambda: archive.value("SELECT count(*) = 1 FROM dead_letters"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await publish(3)
    await grow_old(archive)
    await Watcher(archive.database).turn()
    assert await gaps(archive) == []
