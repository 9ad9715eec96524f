"""The very same bytes once more: at once, minutes later, after the inbox was purged, and after a restart."""

from collections.abc import Awaitable, Callable

import pytest

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import SETTINGS_COMMANDS
from libs.common.broker.transport import Message
from libs.common.database import inbox
from libs.common.database.engine import Database, Session, driver
from libs.common.delivery.commands import CommandConsumer, one_by_one
from libs.common.delivery.subscriber import INBOX_DAYS, MOST_INBOX_ROWS
from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import new_event
from libs.common.events.envelope import Event
from libs.common.events.requests import OperationRejected
from tests.integration.delivery.test_delivery import QUEUE, SHOP, Ledger, a_message, a_subscriber, running
from tests.support.makers import an_event
from tests.support.vouching import VouchingTransport

OpenDatabase = Callable[..., Awaitable[Database]]
MOMENTS = {"at once": 0.0, "six minutes later": 6 / 1440, "after a purge": INBOX_DAYS - 0.01, "much later": 400.0}
"""In days."""
HELD_BY_WATERMARK = tuple(MOMENTS)
HELD_BY_NAME = ("at once", "six minutes later", "after a purge")
"""What nobody numbers is forgotten after the days of the inbox."""


@pytest.fixture
async def database(database_for: OpenDatabase) -> Database:
    return await database_for("settings")


async def grow_old(database: Database, days: float) -> None:
    """Let days pass in the inbox, and purge it as a subscriber does every ten minutes."""
    async with database.transaction() as session:
        for table in ("inbox_seen", "inbox_foreign"):
            sql = f"UPDATE {table} SET seen_at = seen_at - make_interval(secs => $1 * 86400)"
            await driver(session).execute(sql, days)
        await inbox.prune(session, most_rows=MOST_INBOX_ROWS, older_than_days=INBOX_DAYS)


async def effects_of(database: Database, messages: list[Message]) -> list[str]:
    """The ids of the events that a new process applies when these messages come."""
    transport, ledger = VouchingTransport(queues=[QUEUE]), Ledger()
    async with running(a_subscriber(database, transport, ledger, clients=[SHOP]).run):
        for message in messages:
            await transport.send(message)
    return [event.id for event in ledger.seen]


@pytest.mark.parametrize("moment", HELD_BY_WATERMARK)
async def test_a_numbered_event_takes_effect_once_whatever_the_inbox_forgot(database: Database, moment: str) -> None:
    # Number 3 never came, so that what lies beyond it is what a purge takes away.
    events = [an_event().numbered(number) for number in (1, 2, 4, 5)]
    messages = [a_message(event, app_id="gateway") for event in events]
    assert await effects_of(database, messages) == [event.id for event in events]
    await grow_old(database, MOMENTS[moment])
    assert await effects_of(database, messages) == []
    assert await effects_of(database, [a_message(an_event().numbered(6), app_id="gateway")]) != []


async def test_a_purge_leaves_the_watermark_alone_to_refuse(database: Database) -> None:
    """So the proof above is one of the watermark and of nothing else."""
    events = [an_event().numbered(number) for number in (1, 2, 4, 5)]
    messages = [a_message(event, app_id="gateway") for event in events]
    await effects_of(database, messages)
    await grow_old(database, MOMENTS["much later"])
    async with database.reading() as session:
        assert await driver(session).fetchval("SELECT count(*) FROM inbox_seen") == 0
        assert await driver(session).fetchval("SELECT watermark FROM inbox WHERE producer = 'gateway'") == 5
    assert await effects_of(database, messages) == []


@pytest.mark.parametrize("moment", HELD_BY_NAME)
async def test_a_platforms_event_takes_effect_once_for_as_long_as_its_name_is_kept(
    database: Database, moment: str
) -> None:
    event = an_event(source="/platform/shop", type="com.shop.sold.v1", data={"total": 1})
    message = a_message(event, sender="shop")
    assert await effects_of(database, [message, message]) == [event.id]
    await grow_old(database, MOMENTS[moment])
    assert await effects_of(database, [message]) == []


async def test_a_refused_event_leaves_one_letter_however_often_it_comes(database: Database) -> None:
    message = a_message(an_event(source="/platform/shop", type="platform.unheard.of.v1"), sender="shop")
    for days in (0.0, MOMENTS["six minutes later"]):
        assert await effects_of(database, [message]) == []
        await grow_old(database, days)
    async with database.reading() as session:
        assert await driver(session).fetchval("SELECT count(*) FROM dead_letters") == 1


@pytest.mark.parametrize("moment", HELD_BY_WATERMARK)
async def test_a_command_is_applied_once_and_answered_once(database: Database, moment: str) -> None:
    commands = [an_event(type="reeve.command.setting.change.v1", subject="setting/a").numbered(n) for n in (1, 3)]
    applied: list[str] = []

    async def apply(session: Session, command: Event) -> Event:
        applied.append(command.id)
        data = OperationRejected(operation_id=command.id, action="change_setting", error={"error": "none"})
        return new_event(data, subject=command.subject, causation_id=command.id, source="/reeve/settings")

    async def deliver() -> None:
        transport = EmbeddedTransport(queues=[SETTINGS_COMMANDS])
        consumer = CommandConsumer(
            database, transport, SETTINGS_COMMANDS, source="/reeve/settings", catalog=CATALOG,
            handlers={"reeve.command.setting.change.v1": one_by_one(apply)},
        )  # fmt: skip
        async with running(consumer.run):
            for one in commands:
                again = a_message(one, app_id="gateway", exchange="reeve.commands", routing_key=SETTINGS_COMMANDS.name)
                await transport.publish(again)

    await deliver()
    await grow_old(database, MOMENTS[moment])
    await deliver()
    assert applied == [one.id for one in commands]
    async with database.reading() as session:
        assert await driver(session).fetchval("SELECT count(*) FROM outbox") == 2
