"""Judging on a real Postgres: late commits, rivals, faults in the middle, and what is kept."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from libs.common.database.engine import Database
from libs.common.errors import Unavailable
from services.gateway.facts import Fact, FactKind
from services.gateway.features.detection import store as detection
from services.gateway.features.detection.handlers import Judge
from services.gateway.features.detection.models.rules import GroupBy, Rule
from services.gateway.features.security_events import store as events
from services.gateway.features.security_events.models import SecurityEvent
from services.gateway.store import note

RULE = Rule("guesses", FactKind.FAILED_LOGIN, GroupBy.USER, 3, 60, 600, "critical", "Three guesses.")


@pytest.fixture
async def database(gateway_database: Database) -> Database:
    """A schema with one rule."""
    async with gateway_database.transaction() as session:
        await detection.append_rule(session, RULE)
    return gateway_database


async def tell(database: Database, count: int = 1, user: str = "ada") -> None:
    async with database.transaction() as session:
        await note(session, *[Fact(FactKind.FAILED_LOGIN, user_id=user) for _ in range(count)])


async def raised(database: Database) -> Sequence[SecurityEvent]:
    async with database.reading() as session:
        found, _ = await events.search(session, events.Search(), before=None, skip=0, limit=1000)
        return found


async def value(database: Database, statement: str) -> Any:
    async with database.transaction() as session:
        result = await session.execute(text(statement))
        return result.scalar_one() if result.returns_rows else None


async def test_what_commits_late_is_judged_though_what_came_after_it_was_before(database: Database) -> None:
    judge = Judge(database)
    async with database.transaction() as late:
        await note(late, Fact(FactKind.FAILED_LOGIN, user_id="ada"))
        await tell(database, 2)
        assert await judge.turn() == 2
        assert await raised(database) == []
    assert await judge.turn() == 1
    assert [one.subject for one in await raised(database)] == ["ada"]
    moments = await value(
        database,
        "SELECT array_agg(noted_at ORDER BY position) = array_agg(noted_at ORDER BY noted_at) FROM security_facts",
    )
    assert moments is True


async def test_several_gateways_at_once_raise_what_one_would(database: Database) -> None:
    judges = [Judge(database) for _ in range(3)]
    for round_ in range(6):
        await asyncio.gather(*(tell(database, 1, f"u{number}") for number in range(20)))
        await asyncio.gather(*(judge.turn() for judge in judges[round_ % 2 :]))
    while await judges[0].turn():
        pass
    assert sorted((one.subject, one.count) for one in await raised(database)) == [
        (name, 4) for name in sorted(f"u{number}" for number in range(20))
    ]


async def test_a_judge_that_was_away_reads_up_on_what_others_judged(database: Database) -> None:
    first, second = Judge(database), Judge(database)
    for judge in (first, second, first):
        assert await raised(database) == []
        await tell(database)
        assert await judge.turn() == 1
    (event,) = await raised(database)
    assert (event.count, event.details["measure"]) == (1, 3)
    await tell(database)
    assert await second.turn() == 1
    assert [one.count for one in await raised(database)] == [2]


async def test_a_turn_that_fails_leaves_nothing_and_is_made_up_for(database: Database) -> None:
    judge = Judge(database)
    await tell(database)
    await judge.turn()
    async with database.transaction() as late:
        await note(late, Fact(FactKind.FAILED_LOGIN, user_id="bob"))
        await tell(database, 3, "eve")
        await tell(database)
        async with database.transaction() as rival:
            # Places are given and an event is about to be raised, and somebody holds the outbox for too long.
            await rival.execute(text("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(Unavailable):
                await judge.turn()
    # Now another fact has the place that one of them had for a moment: what was counted then must be forgotten.
    assert await judge.turn() == 5
    assert [(one.subject, one.count) for one in await raised(database)] == [("eve", 1)]
    assert await value(database, "SELECT count(*) FROM outbox WHERE type = 'reeve.security_event.raised.v1'") == 1


async def test_a_changed_rule_judges_what_comes_and_knows_what_was(database: Database) -> None:
    judge = Judge(database)
    await tell(database, 2)
    await judge.turn()
    async with database.transaction() as session:
        await detection.replace_rule(session, Rule(**{**_members(), "threshold": 2}))
    assert await judge.turn() == 0
    await tell(database)
    await judge.turn()
    (event,) = await raised(database)
    assert event.details["threshold"] == 2


def _members() -> dict[str, Any]:
    names = ("name", "kind", "group_by", "threshold", "window_seconds", "cooldown_seconds", "severity", "description")
    return {name: getattr(RULE, name) for name in names}


async def test_a_fact_of_a_kind_that_is_not_known_yet_holds_nobody_up(database: Database) -> None:
    await value(database, "INSERT INTO security_facts (kind, user_id) VALUES ('of_tomorrow', 'ada')")
    await tell(database, 3)
    assert await Judge(database).turn() == 4
    assert len(await raised(database)) == 1


async def test_more_facts_than_one_turn_takes_are_taken_by_the_next(database: Database) -> None:
    judge = Judge(database)
    await tell(database, detection.MOST_JUDGED + 5)
    assert [await judge.turn(), await judge.turn(), await judge.turn()] == [detection.MOST_JUDGED, 5, 0]
    assert [one.count for one in await raised(database)] == [detection.MOST_JUDGED + 3]


async def test_old_facts_go_and_those_that_wait_stay(database: Database) -> None:
    await tell(database, 2)
    await Judge(database).turn()
    await tell(database)
    await value(
        database,
        "UPDATE security_facts SET noted_at = now() - interval '73 hours' WHERE position = 1 OR position IS NULL",
    )
    async with database.transaction() as session:
        await detection.prune_facts(session)
    left = await value(database, "SELECT array_agg(position ORDER BY position) FROM security_facts")
    assert left == [2, None]


async def test_of_events_the_resolved_go_by_age_and_all_by_number(database: Database) -> None:
    for name in ("a", "b", "c"):
        await tell(database, 3, name)
    await Judge(database).turn()
    await value(
        database, "UPDATE security_events SET created_at = now() - interval '400 days' WHERE subject IN ('a', 'b')"
    )
    await value(database, "UPDATE security_events SET resolved = true WHERE subject = 'a'")
    async with database.transaction() as session:
        assert await events.prune(session) == 1
    assert sorted(one.subject for one in await raised(database)) == ["b", "c"]
    async with database.transaction() as session:
        assert await events.prune(session, most=1) == 1
    assert [one.subject for one in await raised(database)] == ["c"]
