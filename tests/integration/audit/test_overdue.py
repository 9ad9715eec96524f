"""An entry that no signed head reaches is told of once, whatever restarts, and once more when one does."""

import asyncio

import pytest

from libs.common.database.engine import driver
from libs.common.events.envelope import Event, decode
from services.audit import watcher
from services.audit.app import signer
from services.audit.watcher import Watcher
from tests.integration.audit.archive import Archive, Built, request_recorded

SOON, LATER = 60.0, 0.0
"""Bounds in seconds under which what was stored just now is not overdue, and under which it is."""


async def look(archive: Archive, bound: float) -> list[Event]:
    """One look of a watcher that was just started, and what it told."""
    await Watcher(archive.database, bound_seconds=bound).turn()
    async with archive.database.transaction() as session:
        rows = await driver(session).fetch("DELETE FROM outbox RETURNING position, body")
    return [decode(row["body"]) for row in sorted(rows, key=lambda row: row["position"])]


async def test_it_is_told_once_and_once_more_when_a_signed_head_reaches_it(built: Built, archive: Archive) -> None:
    signing = signer(built.config, built.database)
    await archive.record(request_recorded(producerseq=1), request_recorded(producerseq=2))
    assert await look(archive, SOON) == []
    told, alert = await look(archive, LATER)
    assert (told.type, told.severity, told.data["first"], told.data["waiting"]) == (
        "reeve.audit.inclusion.overdue.v1", "critical", 0, 2,
    )  # fmt: skip
    assert alert.type == "platform.error.critical.v1"
    assert "entries from 0 on have no signed checkpoint" in alert.data["error_message"]
    assert await look(archive, LATER) == []
    await archive.sequence()
    assert await look(archive, LATER) == [], "in the tree, and not signed: no proof can be given yet"
    await signing.turn()
    [caught_up] = await look(archive, LATER)
    assert (caught_up.type, caught_up.data["first"]) == ("reeve.audit.inclusion.caught_up.v1", 0)
    assert await look(archive, LATER) == []


async def test_what_a_start_finds_unsigned_is_no_news_when_it_is_signed_soon(
    built: Built, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform ended before a head covered its last entries, and starts much later."""
    monkeypatch.setattr(watcher, "LOOK_SECONDS", 0.5)
    await archive.record(request_recorded(producerseq=1))
    watching = asyncio.ensure_future(Watcher(archive.database, bound_seconds=LATER).run())
    await asyncio.sleep(0.1)
    await archive.sequence()
    await signer(built.config, built.database).turn()
    await asyncio.sleep(0.6)
    watching.cancel()
    assert await look(archive, LATER) == []


async def test_catching_up_is_not_told_while_others_wait(built: Built, archive: Archive) -> None:
    signing = signer(built.config, built.database)
    await archive.record(request_recorded(producerseq=1))
    assert len(await look(archive, LATER)) == 2
    await archive.sequence()
    await signing.turn()
    await archive.record(request_recorded(producerseq=2))
    assert await look(archive, LATER) == []
    assert [event.data["first"] for event in await look(archive, SOON)] == [0]
    told, _ = await look(archive, LATER)
    assert (told.data["first"], told.data["waiting"]) == (1, 1)


async def test_several_watchers_tell_once(archive: Archive) -> None:
    await archive.record(request_recorded(producerseq=1))
    await asyncio.gather(*[Watcher(archive.database, bound_seconds=LATER).turn() for _ in range(5)])
    assert len(await look(archive, LATER)) == 2
