"""Dead letters of the audit service that are not quarantined: replayed by the operator's command, the quarantine is not."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from sqlalchemy import text

from libs.common.broker.topology import AUDIT_EVENTS
from libs.common.broker.transport import Message
from libs.common.database.engine import Database
from libs.common.database.kept_letters import Wanted
from libs.common.delivery.arrivals import Parked, letter_of
from libs.common.delivery.intake import Intake
from libs.common.delivery.replays import Replays
from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import STRUCTURED, Event, encode
from services.audit.handlers import Recorder
from services.audit.store import quarantine
from tests.support.makers import an_event

WANTED = Wanted([AUDIT_EVENTS.name])


async def park(database: Database, event: Event, reason: str) -> str:
    message = Message(encode(event), STRUCTURED, "", event.type, event.id, event.type, app_id="gateway")
    letter = letter_of(AUDIT_EVENTS, Parked(message, reason, None))
    async with database.transaction() as session:
        await quarantine.append(session, [letter])
    return letter.id


async def read(database: Database, sql: str) -> Sequence[str]:
    async with database.reading() as session:
        return list((await session.execute(text(sql))).scalars())


async def test_the_quarantine_is_left_to_its_own_way_and_everything_else_becomes_an_entry(
    database_for: Callable[..., Awaitable[Database]],
) -> None:
    database = await database_for("audit")
    quarantined = await park(database, an_event().numbered(1), "invalid_event: data.path: Field required")
    failed = an_event().numbered(2)
    await park(database, failed, "failed 5 times: ValueError")
    before = await read(database, f"SELECT d::text FROM dead_letters AS d WHERE id = '{quarantined}'")
    intake = Intake(AUDIT_EVENTS, Recorder().record_events, CATALOG, letters=quarantine, checks_services=True)
    replays = Replays(database, [intake], source="/reeve/audit")

    assert [(one.reason, one.count) for one in await replays.summarize()] == [("failed 5 times: ValueError", 1)]
    [tried] = [one async for one in replays.replay(WANTED, most=10)]
    assert (tried.why, tried.letter.message_id) == (None, failed.id)
    named = Wanted(WANTED.queues, id=UUID(quarantined))
    [tried] = [one async for one in replays.replay(named, most=10)]
    assert tried.why == "it is replayed by POST /api/v1/admin/audit/quarantine/{id}/replay"
    assert await read(database, "SELECT d::text FROM dead_letters AS d") == before
    assert await read(database, "SELECT event_id FROM entries") == [failed.id]
