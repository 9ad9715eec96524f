"""Counts over a range, the values that occur, and searches that cost too much."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY

from libs.common.assertions import AssertionMinter
from libs.common.broker.embedded import EmbeddedTransport
from libs.common.keys import load_or_create_ed25519
from services.audit.app import build
from services.audit.handlers import lag_of
from tests.integration.audit.archive import ADMIN, OTHER, Archive, Built, arrived, platform_event, request_recorded


async def test_counts_cover_the_range_and_every_column(archive: Archive) -> None:
    day = datetime(2026, 1, 10, tzinfo=UTC)
    await archive.record(
        request_recorded(time=day - timedelta(microseconds=1)),
        request_recorded(time=day, subject="setting/a"),
        request_recorded(time=day + timedelta(hours=23, minutes=59), actorid=OTHER, subject="user/b"),
        platform_event("platform.import.failed.v1", time=day + timedelta(days=1), subject="import/7"),
        request_recorded(time=day + timedelta(days=2)),
    )
    body = await archive.body("/stats?date_from=2026-01-10T00:00:00Z&date_to=2026-01-12T00:00:00Z")
    assert body == {
        "date_from": "2026-01-10T00:00:00.000000Z",
        "date_to": "2026-01-12T00:00:00.000000Z",
        "total": 3,
        "by_action": {"list_settings": 2, "platform.import.failed.v1": 1},
        "by_admin_user_id": {ADMIN: 1, OTHER: 1},
        "by_target_type": {"import": 1, "setting": 1, "user": 1},
        "by_outcome": {"success": 2, "failure": 1},
        "by_day": {"2026-01-10": 2, "2026-01-11": 1},
    }


async def test_counts_are_of_the_last_thirty_days_unless_told_otherwise(archive: Archive) -> None:
    now = datetime.now(UTC)
    await archive.record(*[request_recorded(time=now - timedelta(days=age)) for age in (0, 29, 30, 400)])
    body = await archive.body("/stats")
    assert body["total"] == 2
    begin, end = (datetime.fromisoformat(body[name]) for name in ("date_from", "date_to"))
    assert end - begin == timedelta(days=30)
    assert now < end <= now + timedelta(days=1)
    assert (await archive.body("/stats?date_to=0001-01-02"))["total"] == 0


async def test_whole_days_and_their_ends_add_up_to_what_a_count_of_the_entries_says(archive: Archive) -> None:
    chance = random.Random(5)
    start = datetime(2026, 1, 10, tzinfo=UTC)
    moments = [start + timedelta(minutes=chance.randrange(-3000, 3000)) for _ in range(300)]
    for begin in range(0, 300, 60):
        await archive.record(*[request_recorded(time=moment) for moment in moments[begin : begin + 60]])
    for _ in range(40):
        since, until = (start + timedelta(minutes=chance.randrange(-4000, 4000)) for _ in range(2))
        body = await archive.body(f"/stats?date_from={since:%Y-%m-%dT%H:%M:%SZ}&date_to={until:%Y-%m-%dT%H:%M:%SZ}")
        expected = Counter(f"{moment:%Y-%m-%d}" for moment in moments if since <= moment < until)
        assert body["by_day"] == dict(sorted(expected.items()))
        assert body["total"] == expected.total() == sum(body["by_admin_user_id"].values())


async def test_of_many_actions_the_hundred_most_frequent_are_counted(archive: Archive) -> None:
    events = [platform_event(f"com.shop.kind{number:03}", data={}) for number in range(150)]
    await archive.record(*events, *[platform_event(event.type) for event in events[:40]])
    body = await archive.body("/stats")
    assert body["total"] == 190
    assert list(body["by_action"].items())[39:41] == [("com.shop.kind039", 2), ("com.shop.kind040", 1)]
    assert len(body["by_action"]) == 100


async def test_the_distinct_values_are_lists_in_order(archive: Archive) -> None:
    assert await archive.body("/actions") == {
        "actions": [], "total": 0, "total_is_exact": True, "skip": 0, "limit": 1000, "next_cursor": None,
    }  # fmt: skip
    await archive.record(request_recorded(subject="setting/a"), platform_event(subject="alone"), request_recorded())
    await archive.record(request_recorded(subject="Setting/a", data={"action": "a_new_one"}))
    assert (await archive.body("/actions"))["actions"] == ["a_new_one", "com.shop.order.placed.v1", "list_settings"]
    assert (await archive.body("/target-types"))["target_types"] == ["Setting", "alone", "setting"]


async def test_no_list_of_values_is_endless(archive: Archive) -> None:
    await archive.record(*[platform_event(f"com.shop.kind{number:05}") for number in range(1200)])
    body = await archive.body("/actions")
    assert (len(body["actions"]), body["total"], body["total_is_exact"]) == (1000, 1200, True)
    assert (await archive.get("/actions?limit=5")).status_code == 422


@pytest.fixture
async def hasty(built: Built) -> AsyncIterator[Archive]:
    """The service with a third of a second for a search."""
    search = built.platform.database("audit", statement_timeout_seconds=0.3)
    service = build(built.config, database=built.database, search_database=search, transport=EmbeddedTransport())
    minter = AssertionMinter(load_or_create_ed25519(built.config.keys / "gateway.key"))
    asgi = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=asgi, base_url="http://audit") as client:
        yield Archive(built.database, client, minter)
    await service.close()


async def test_a_search_that_costs_too_much_is_refused_with_advice(hasty: Archive, owner: asyncpg.Connection) -> None:
    async with owner.transaction():
        # What a search waits for counts as its time.
        await owner.execute("LOCK TABLE entries")
        for target in ("/logs", f"/logs/{ADMIN}", "/stats?date_from=2020-01-01T00:00:01Z"):
            refused = await hasty.get(target)
            assert (refused.status_code, refused.json()["detail"]["error"]) == (503, "search_too_costly")
            assert "date_from" in refused.json()["detail"]["message"]
            assert refused.headers["retry-after"] == "5"
    assert (await hasty.get("/logs")).status_code == 200


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def test_only_what_committed_is_counted(archive: Archive) -> None:
    before: Any = {name: metric(name) for name in ("reeve_audit_entries_total", "reeve_audit_batch_seconds_count")}

    async def come_to_nothing() -> None:
        async with archive.database.transaction() as session:
            await archive.recorder.record_events(session, [arrived(request_recorded())])
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError):
        await come_to_nothing()
    assert metric("reeve_audit_entries_total") == before["reeve_audit_entries_total"]
    await archive.record(*[request_recorded() for _ in range(7)])
    assert metric("reeve_audit_entries_total") == before["reeve_audit_entries_total"] + 7
    assert metric("reeve_audit_batch_seconds_count") == before["reeve_audit_batch_seconds_count"] + 2


def test_the_lag_is_that_of_our_own_newest_event() -> None:
    now = datetime(2026, 1, 10, tzinfo=UTC)
    ours = [arrived(request_recorded(time=now - timedelta(seconds=age))) for age in (90, 5, 60)]
    old, future = (arrived(platform_event(time=now + timedelta(days=days))) for days in (-4000, 4000))
    assert lag_of([*ours, old, future], now) == 5
    assert lag_of([old, future], now) == 0
    assert lag_of([arrived(request_recorded(time=now + timedelta(seconds=1)))], now) == 0
