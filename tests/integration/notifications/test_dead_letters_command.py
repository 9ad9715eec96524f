"""`python -m services.notifications dead-letters ...`, as an operator types it, beside nothing else."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from libs.common.broker.topology import NOTIFICATIONS_COMMANDS, NOTIFICATIONS_EVENTS, Queue
from libs.common.broker.transport import Message
from libs.common.database import dead_letters
from libs.common.database.engine import Database
from libs.common.delivery.arrivals import Parked, letter_of
from libs.common.events.envelope import STRUCTURED, encode
from libs.common.keys import load_or_create_ed25519
from tests.integration.notifications.desk import platform_event
from tests.support.makers import an_event
from tests.support.postgres import PlatformDatabase
from tests.support.processes import ROOT, clean_environment

FAILED = "failed 5 times: ValueError"
WITHIN_SECONDS = 60


@dataclass(slots=True)
class Desk:
    """A notifications schema with dead letters, and the command line beside it."""

    database: Database
    environment: dict[str, str]

    async def type(self, *arguments: str, **extra: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of the command."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.notifications", "dead-letters", *arguments, cwd=ROOT,
            env={**self.environment, **extra}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), WITHIN_SECONDS)
        return process.returncode or 0, out.decode(), err.decode()

    async def park(self, *messages: Message, queue: Queue = NOTIFICATIONS_EVENTS) -> None:
        async with self.database.transaction() as session:
            await dead_letters.append(session, [letter_of(queue, Parked(one, FAILED, None)) for one in messages])

    async def count(self, table: str) -> int:
        async with self.database.reading() as session:
            return int((await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


@pytest.fixture
async def desk(platform_db: Callable[..., Awaitable[PlatformDatabase]], tmp_path: Path) -> Desk:
    platform = await platform_db("notifications")
    (tmp_path / "keys").mkdir()
    load_or_create_ed25519(tmp_path / "keys" / "gateway.key")
    environment = {
        "REEVE_DATABASE_URL": platform.urls["notifications"], "REEVE_DATA_DIR": str(tmp_path),
        "REEVE_AMQP_URL": "embedded",
    }  # fmt: skip
    return Desk(platform.database("notifications"), {**clean_environment(), **environment})


def a_message(number: int, *, severity: str = "critical") -> Message:
    event = platform_event("com.shop.payment.lost.v1", severity=severity).numbered(number)
    return Message(encode(event), STRUCTURED, "reeve.events", event.type, event.id, event.type, app_id="gateway")


async def test_a_letter_takes_effect_once_through_a_kill_right_before_its_commit(desk: Desk) -> None:
    await desk.park(a_message(1), a_message(2))
    code, listed, _ = await desk.type("list")
    assert (code, listed.split("  ")[:3]) == (0, ["notifications.events", FAILED, "com.shop.payment.lost.v1"])

    killed, _, _ = await desk.type("replay", REEVE_CRASH_AT="cons.before_commit:2")
    assert (killed, await desk.count("dead_letters"), await desk.count("notifications")) == (-9, 1, 1)
    code, told, logged = await desk.type("replay")
    assert (code, told.splitlines()[-1]) == (0, "1 took effect, 0 stayed")
    assert '"dead letter replayed"' in logged
    assert (await desk.count("dead_letters"), await desk.count("notifications")) == (0, 2)
    assert await desk.type("list") == (0, "no dead letters\n", "")


async def test_what_stays_is_told_with_its_reason_and_is_exit_code_1(desk: Desk) -> None:
    unheard = an_event(type="reeve.unheard.of.v1").numbered(1)
    bad = Message(encode(unheard), STRUCTURED, "", unheard.type, unheard.id, "rung\x07and\nbroken", app_id="gateway")
    await desk.park(bad, a_message(2))
    code, told, _ = await desk.type("replay", "--dry-run")
    assert (code, told.splitlines()[-1]) == (1, "1 would take effect, 1 stayed")
    assert "stays: unknown_event_type: reeve.unheard.of.v1" in told
    assert "rung and broken  stays" in told
    assert told.count("\n") == 3
    assert (await desk.count("dead_letters"), await desk.count("notifications")) == (2, 0)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("replay", "--queue", "settings.events"), "--queue: must be one of notifications.events, notifications.commands"),
        (("replay", "--id", "seven"), "--id: must be the id of a dead letter, got 'seven'"),
        (("redeliver", "--most", "0"), "--most: must be 1..100000, got 0"),
    ],
)  # fmt: skip
async def test_a_wrong_option_is_one_line_and_exit_code_2(desk: Desk, arguments: tuple[str, ...], line: str) -> None:
    code, told, complained = await desk.type(*arguments)
    assert (code, told) == (2, "")
    assert complained.startswith(f"reeve: {line}")
    assert complained.count("\n") == 1


async def test_the_broker_of_one_process_has_nothing_to_redeliver(desk: Desk) -> None:
    await desk.park(a_message(1), queue=NOTIFICATIONS_COMMANDS)
    code, told, _ = await desk.type("redeliver")
    assert (code, told.partition(":")[0]) == (0, "nothing to redeliver")
    assert await desk.count("dead_letters") == 1
