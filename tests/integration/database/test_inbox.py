"""The inbox: each message is admitted once, in whatever order and however often it comes."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.database import inbox
from libs.common.database.engine import Database, driver
from libs.common.database.inbox import Arrival
from libs.common.errors import Conflict
from libs.common.ids import new_id
from tests.support.eventually import eventually

Batches = list[list[int]]


@st.composite
def deliveries(draw: st.DrawFn) -> Batches:
    """Some of the numbers 1..30, some of them repeatedly, in any order, cut into batches anywhere."""
    numbers = draw(st.lists(st.integers(1, 30), max_size=60))
    cuts = sorted(draw(st.lists(st.integers(0, len(numbers)), max_size=8)))
    edges = [0, *cuts, len(numbers)]
    return [numbers[a:b] for a, b in itertools.pairwise(edges)]


@given(batches=deliveries(), rest=st.permutations(range(1, 31)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_order_with_repetitions_admits_each_number_once(
    database: Database, batches: Batches, rest: list[int]
) -> None:
    consumer = new_id()
    sent: list[int] = []
    admitted: list[int] = []
    for batch in batches:
        sent += batch
        admitted += await admit_numbers(database, consumer, batch)
        assert sorted(admitted) == sorted(set(sent))
        await assert_compact(database, consumer, set(sent))
    admitted += await admit_numbers(database, consumer, rest)
    assert sorted(admitted) == list(range(1, 31))
    await assert_compact(database, consumer, set(range(1, 31)))
    assert await admit_numbers(database, consumer, [*rest, *sent]) == []


async def test_a_batch_in_order_costs_one_statement(database: Database) -> None:
    await admit_numbers(database, "audit.events", [1])
    asked: list[str] = []
    async with database.transaction() as session:
        connection = driver(session)
        connection.add_query_logger(lambda query: asked.append(query.query.split()[0]))
        await inbox.admit(session, consumer="audit.events", arrivals=numbered("gateway", range(2, 500)))
        await eventually(lambda: len(asked) >= 1)
    assert asked[:1] == ["WITH"]
    assert asked[1:] in ([], ["COMMIT"])


async def test_several_producers_are_counted_apart_and_in_one_go(database: Database) -> None:
    arrivals = [*numbered("gateway", [1, 2]), *numbered("settings", [1]), *numbered("audit", [2])]
    async with database.transaction() as session:
        assert await inbox.admit(session, consumer="a", arrivals=arrivals) == [True] * 4
    async with database.transaction() as session:
        assert await inbox.admit(session, consumer="a", arrivals=arrivals) == [False] * 4
        assert await inbox.admit(session, consumer="b", arrivals=arrivals) == [True] * 4


async def test_a_repetition_within_one_batch_counts_once(database: Database) -> None:
    foreign = Arrival("", None, "/platform/shop", "order-1")
    arrivals = [*numbered("gateway", [1, 1, 2, 1]), foreign, foreign]
    async with database.transaction() as session:
        found = await inbox.admit(session, consumer="a", arrivals=arrivals)
    assert found == [True, False, True, False, True, False]


async def test_what_was_rolled_back_comes_as_new_again(database: Database) -> None:
    arrivals = [*numbered("gateway", [1, 2, 5]), Arrival("", None, "/platform/shop", "order-1")]

    async def write() -> None:
        async with database.transaction() as session:
            await inbox.admit(session, consumer="a", arrivals=arrivals)
            raise Conflict("the handler failed")

    with pytest.raises(Conflict):
        await write()
    async with database.transaction() as session:
        assert await inbox.admit(session, consumer="a", arrivals=arrivals) == [True] * 4


async def test_concurrent_consumers_of_one_name_admit_each_number_once(database: Database) -> None:
    async def consume(start: int) -> list[int]:
        found: list[int] = []
        for first in range(1, 101, 10):
            batch = [(first + start * 30 + step) % 100 + 1 for step in range(10)]
            found += await admit_numbers(database, "a", batch)
        return found

    admitted = [number for found in await asyncio.gather(*map(consume, range(6))) for number in found]
    assert sorted(admitted) == list(range(1, 101))
    await assert_compact(database, "a", set(range(1, 101)))


async def test_messages_that_nobody_numbers_are_known_by_source_and_id(database: Database) -> None:
    first = Arrival("", None, "/platform/shop", "1")
    other_source = Arrival("", None, "/platform/desk", "1")
    no_producer = Arrival("", 7, "/platform/shop", "2")
    no_number = Arrival("gateway", None, "/reeve/gateway", "3")
    arrivals = [first, other_source, no_producer, no_number]
    async with database.transaction() as session:
        assert await inbox.admit(session, consumer="a", arrivals=arrivals) == [True] * 4
    async with database.transaction() as session:
        assert await inbox.admit(session, consumer="a", arrivals=arrivals) == [False] * 4
    assert await admit_numbers(database, "a", [7]) == [7]


async def test_concurrent_arrivals_of_one_foreign_event_count_once(database: Database) -> None:
    async def arrive() -> bool:
        async with database.transaction() as session:
            [first] = await inbox.admit(session, consumer="a", arrivals=[Arrival("", None, "/platform/shop", "1")])
            await asyncio.sleep(0.01)
            return first

    assert sorted(await asyncio.gather(*(arrive() for _ in range(8)))) == [False] * 7 + [True]


async def test_pruning_by_rows_closes_the_oldest_holes(database: Database) -> None:
    await admit_numbers(database, "a", range(2, 101, 2))
    async with database.transaction() as session:
        assert await inbox.prune(session, most_rows=10, older_than_days=30) == 40
    assert await admit_numbers(database, "a", [1, 79, 80, 81]) == [81]
    await assert_consistent(database, "a")
    assert await admit_numbers(database, "a", [82, 83, 84]) == [83]


async def test_pruning_by_age_moves_over_what_follows_without_a_hole(database: Database) -> None:
    await admit_numbers(database, "a", [3, 4, 8])
    async with database.transaction() as session:
        await driver(session).execute(
            "UPDATE inbox_seen SET seen_at = now() - interval '31 days' WHERE producer_seq = 3"
        )
        assert await inbox.prune(session, most_rows=1000, older_than_days=30) == 2
    assert await admit_numbers(database, "a", [1, 2, 5, 8]) == [5]
    await assert_consistent(database, "a")


async def test_pruning_bounds_foreign_events_by_rows_and_age(database: Database) -> None:
    arrivals = [Arrival("", None, "/platform/shop", str(number)) for number in range(20)]
    async with database.transaction() as session:
        await inbox.admit(session, consumer="a", arrivals=arrivals)
        await inbox.admit(session, consumer="b", arrivals=arrivals[:2])
        await driver(session).execute(
            "UPDATE inbox_foreign SET seen_at = now() - make_interval(days => event_id::int * 2)"
        )
        assert await inbox.prune(session, most_rows=5, older_than_days=3) == 18
        left = await driver(session).fetch("SELECT consumer, event_id FROM inbox_foreign ORDER BY 1, 2")
    assert [tuple(row) for row in left] == [("a", "0"), ("a", "1"), ("b", "0"), ("b", "1")]


async def test_pruning_when_there_is_nothing_to_prune_changes_nothing(database: Database) -> None:
    await admit_numbers(database, "a", [1, 2, 5])
    async with database.transaction() as session:
        assert await inbox.prune(session, most_rows=10, older_than_days=1) == 0
    assert await admit_numbers(database, "a", [1, 2, 3, 4, 5]) == [3, 4]


def numbered(producer: str, numbers: Sequence[int] | range) -> list[Arrival]:
    return [Arrival(producer, number, f"/reeve/{producer}", f"{producer}-{number}") for number in numbers]


async def admit_numbers(database: Database, consumer: str, numbers: Sequence[int] | range) -> list[int]:
    """The numbers of this batch that counted as new."""
    async with database.transaction() as session:
        found = await inbox.admit(session, consumer=consumer, arrivals=numbered("gateway", numbers))
    return [number for number, is_first in zip(numbers, found, strict=True) if is_first]


async def assert_compact(database: Database, consumer: str, sent: set[int]) -> None:
    """The watermark is the last number before the first hole, and only numbers beyond it are kept."""
    watermark = 0
    while watermark + 1 in sent:
        watermark += 1
    assert await state(database, consumer) == (watermark, {number for number in sent if number > watermark})


async def assert_consistent(database: Database, consumer: str) -> None:
    watermark, beyond = await state(database, consumer)
    assert all(number > watermark + 1 for number in beyond)


async def state(database: Database, consumer: str) -> tuple[int, set[int]]:
    async with database.reading() as session:
        row = await driver(session).fetchrow("SELECT watermark, above FROM inbox WHERE consumer = $1", consumer)
        seen = await driver(session).fetch("SELECT producer_seq FROM inbox_seen WHERE consumer = $1", consumer)
    if row is None:
        return 0, set()
    assert row["above"] == len(seen)
    return row["watermark"], {found["producer_seq"] for found in seen}
