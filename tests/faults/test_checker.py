"""The checker is proved: on ledgers made up, and on real consumers with the classic mistakes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from libs.common.broker.topology import AUDIT_EVENTS
from tests.faults.driver import driving
from tests.faults.observer import PLACES, observing
from tests.support.eventually import eventually
from tests.support.ledger import Ledger, Reply, Verdict, check
from tests.support.platforms import four_services
from tests.support.postgres import PlatformDatabases
from tests.support.processes import SERVICES, Platform
from tests.support.rabbitmq import remove_namespace
from tests.support.stem import Stem
from tests.support.wire import wire_of

TWO = {"write": ("stored", "told")}


@pytest.fixture
async def own_platform(
    stem: Stem, platform_databases: PlatformDatabases, rabbitmq: str, tmp_path: Path
) -> AsyncIterator[Platform]:
    """A platform that what is planted may leave in any state."""
    database = await platform_databases.make(*SERVICES)
    made = four_services(tmp_path, database=database, amqp_url=rabbitmq, launcher=stem)
    try:
        await made.start()
        yield made
    finally:
        await made.end()
        await remove_namespace(rabbitmq, made.namespace)
        await platform_databases.give_back(database)


@pytest.mark.parametrize(
    ("mistake", "crash_at"), [("early-ack", "cons.before_commit:4"), ("no-inbox", "cons.before_ack:4")]
)
async def test_a_planted_mistake_is_found(
    own_platform: Platform, ledger_path: Path, mistake: str, crash_at: str
) -> None:
    """A consumer with the mistake takes the audit service's place, is killed three times, and makes room again."""
    audit = own_platform.programs["audit"]
    planted = replace(audit, module="tests.faults.planted", arguments=[mistake])
    async with driving(own_platform, ledger_path) as driver:
        await driver.progress()
        await audit.kill()
        for _ in range(3):
            await planted.launch(REEVE_CRASH_AT=crash_at)
            assert await planted.until_dead(within_seconds=30) == -9
        await audit.start()
        await driver.progress()
    async with wire_of(own_platform) as wire, observing(own_platform.admin_database) as observer:

        async def sent() -> bool:
            return not any("unsent" in what for what in await observer.unfinished())

        async def read() -> bool:
            """A service that stops finishes what it holds or gives it back: the queue then tells what is unread."""
            await audit.stop()
            if await wire.depth(AUDIT_EVENTS) == 0:
                return True
            await audit.start()
            return False

        await eventually(sent, within_seconds=30)
        await eventually(read, within_seconds=60, every_seconds=0.5)
        verdict = check(ledger_path, await observer.found(driver.run), places=PLACES)
    print(f"{mistake}: {verdict}")
    assert bool(verdict.lost) == (mistake == "early-ack"), str(verdict)
    assert bool(verdict.duplicated) == (mistake == "no-inbox"), str(verdict)
    assert not verdict.unexpected


@pytest.mark.parametrize(
    ("reply", "stored", "told", "wrong"),
    [
        (Reply.OK, 1, 1, None),
        (Reply.OK, 0, 0, "lost"),
        (Reply.OK, 1, 0, "lost"),
        (Reply.OK, 2, 1, "duplicated"),
        (Reply.OK, 1, 2, "duplicated"),
        (Reply.UNKNOWN, 0, 0, None),
        (Reply.UNKNOWN, 1, 1, None),
        (Reply.UNKNOWN, 1, 0, "lost"),
        (Reply.UNKNOWN, 0, 1, "lost"),
        (Reply.UNKNOWN, 1, 2, "duplicated"),
        (Reply.REFUSED, 0, 0, None),
        (Reply.REFUSED, 1, 0, "unexpected"),
        (None, 0, 0, None),
        (None, 1, 1, None),
        (None, 0, 1, "lost"),
    ],
)
def test_each_case_has_its_class(
    ledger_path: Path, reply: Reply | None, stored: int, told: int, wrong: str | None
) -> None:
    ledger = Ledger(ledger_path)
    op = ledger.intend("write", "a")
    if reply is not None:
        ledger.reply(op, reply)
    verdict = check(ledger_path, {"stored": ["a"] * stored, "told": ["a"] * told}, places=TWO)
    assert _wrong(verdict) == ({wrong} if wrong else set())
    assert verdict.recovered == (reply in (None, Reply.UNKNOWN) and stored + told > 0)


def test_what_nobody_sent_is_unexpected(ledger_path: Path) -> None:
    Ledger(ledger_path)
    assert _wrong(check(ledger_path, {"stored": ["a"]}, places=TWO)) == {"unexpected"}


def test_acknowledged_operations_of_one_group_must_keep_their_order(ledger_path: Path) -> None:
    ledger = Ledger(ledger_path)
    for mark, reply in (("a", Reply.OK), ("b", Reply.UNKNOWN), ("c", Reply.OK)):
        ledger.reply(ledger.intend("write", mark, group="one"), reply)
    told = ["a", "b", "c"]
    assert check(ledger_path, {"stored": ["a", "c", "b"], "told": told}, places=TWO).is_clean
    assert _wrong(check(ledger_path, {"stored": ["c", "b", "a"], "told": told}, places=TWO)) == {"misordered"}


def _wrong(verdict: Verdict) -> set[str]:
    return {name for name in ("lost", "duplicated", "unexpected", "misordered") if getattr(verdict, name)}
