"""Dead letters are kept whole, if the transaction commits."""

from datetime import UTC, datetime

import pytest

from libs.common.database import dead_letters
from libs.common.database.dead_letters import DeadLetter
from libs.common.database.engine import Database, driver
from libs.common.errors import Conflict

LETTER = DeadLetter(
    queue="audit.events",
    reason="unknown type",
    body=b"\x00\xff not json",
    message_id="order-1",
    type="platform.unknown",
    sender="shop",
    headers={"ce-id": b"order-1", "at": datetime(2026, 1, 1, tzinfo=UTC), "nul": "a\0b", "deep": {"x": [1, None]}},
    content_type="application/json",
)


async def test_a_letter_is_kept_whole(database: Database) -> None:
    async with database.transaction() as session:
        await dead_letters.append(session, [LETTER, DeadLetter(queue="audit.events", reason="x", body=b"")])
    async with database.reading() as session:
        assert await dead_letters.count(session) == 2
        row = await driver(session).fetchrow("SELECT * FROM dead_letters WHERE message_id = 'order-1'")
    assert (row["queue"], row["reason"], row["body"]) == (LETTER.queue, LETTER.reason, LETTER.body)
    assert (row["type"], row["sender"], row["content_type"]) == (LETTER.type, LETTER.sender, LETTER.content_type)
    assert row["headers"] == {
        "ce-id": "order-1",
        "at": "2026-01-01T00:00:00+00:00",
        "nul": "a\ufffdb",
        "deep": {"x": [1, None]},
    }


async def test_a_letter_goes_with_its_transaction(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as session:
            await dead_letters.append(session, [LETTER])
            raise Conflict("no")

    with pytest.raises(Conflict):
        await write()
    async with database.transaction() as session:
        await dead_letters.append(session, [])
        assert await dead_letters.count(session) == 0


async def test_the_oldest_letters_go_when_there_are_too_many(database: Database) -> None:
    letters = [DeadLetter(queue="audit.events", reason=str(number), body=b"") for number in range(20)]
    async with database.transaction() as session:
        await dead_letters.append(session, letters)
        await driver(session).execute(
            "UPDATE dead_letters SET received_at = now() - make_interval(days => reason::int)"
        )
        assert await dead_letters.prune(session, most_rows=10, older_than_days=30) == 10
        assert await dead_letters.prune(session, most_rows=10, older_than_days=4.5) == 5
        left = await driver(session).fetch("SELECT reason FROM dead_letters ORDER BY received_at DESC")
    assert [row["reason"] for row in left] == ["0", "1", "2", "3", "4"]
