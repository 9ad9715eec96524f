"""Alerts on a real Postgres: one unresolved alert per fingerprint, whatever happens at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.database.engine import driver
from libs.common.errors import Conflict, Invalid, NotFound
from libs.common.events.notifications import RaiseAlert, ResolveAlert
from libs.common.ids import new_id
from services.notifications.models import AlertDraft
from services.notifications.store import alerts
from services.notifications.store.alerts import Occurrence
from tests.integration.notifications.desk import ADMIN, MISSING, Desk, platform_event


def trouble(**given_: Any) -> RaiseAlert:
    return RaiseAlert.model_validate(
        {"alert_type": "database", "severity": "error", "title": "The disk is filling up", **given_}
    )


async def test_the_first_occurrence_makes_an_alert_and_the_next_adds_to_it(desk: Desk) -> None:
    first = await desk.ask(trouble())
    second = await desk.ask(trouble())
    assert (first["status"], second["status"]) == (201, 200)
    assert first["alert_id"] == second["alert_id"]
    assert (first["occurrence_count"], second["occurrence_count"]) == (1, 2)
    assert second["result"]["last_occurred_at"] > second["result"]["first_occurred_at"]
    assert [event.type for event in await desk.left()] == ["reeve.alert.raised.v1", "reeve.alert.repeated.v1"]


async def test_200_identical_alerts_at_once_are_one_alert_that_occurred_200_times(desk: Desk) -> None:
    at_once = asyncio.Semaphore(20)

    async def raise_one() -> int:
        async with at_once:
            return int((await desk.ask(trouble()))["status"])

    statuses = await asyncio.gather(*(raise_one() for _ in range(200)))
    assert sorted(statuses) == [200] * 199 + [201]
    assert await desk.rows("SELECT occurrence_count FROM alerts") == [{"occurrence_count": 200}]
    assert len(await desk.left()) == 200


async def test_the_index_alone_forbids_a_second_unresolved_alert(desk: Desk) -> None:
    await desk.ask(trouble(fingerprint="disk"))
    copy = "INSERT INTO alerts SELECT (json_populate_record(a, json_build_object('id', $1::text))).* FROM alerts a"
    with pytest.raises(asyncpg.UniqueViolationError):
        await desk.value(copy, new_id())


async def test_a_given_fingerprint_decides(desk: Desk) -> None:
    first = await desk.ask(trouble(fingerprint="disk"))
    second = await desk.ask(trouble(fingerprint="disk", title="Another text", severity="critical"))
    assert second["alert_id"] == first["alert_id"]
    assert (second["result"]["title"], second["result"]["severity"]) == ("The disk is filling up", "critical")
    assert (await desk.ask(trouble(fingerprint="disk", severity="info")))["severity"] == "critical"


async def test_another_store_makes_another_alert(desk: Desk) -> None:
    first = await desk.ask(trouble(affected_stores=[1]))
    second = await desk.ask(trouble(affected_stores=[2]))
    assert first["alert_id"] != second["alert_id"]
    assert second["result"]["affected_stores"] == [2]


async def test_after_a_resolve_a_new_alert_names_the_one_before(desk: Desk) -> None:
    first = await desk.ask(trouble())
    resolved = await desk.ask(ResolveAlert(alert_id=first["alert_id"], resolution_notes="bought a disk"))
    assert resolved["result"]["is_resolved"]
    assert (resolved["result"]["resolved_by_user_id"], resolved["result"]["resolution_notes"]) == (
        ADMIN,
        "bought a disk",
    )
    again = await desk.ask(trouble())
    assert (again["status"], again["occurrence_count"]) == (201, 1)
    assert again["result"]["previous_alert_id"] == first["alert_id"]


async def test_a_second_resolve_is_a_conflict(desk: Desk) -> None:
    raised = await desk.ask(trouble())
    await desk.ask(ResolveAlert(alert_id=raised["alert_id"]))
    with pytest.raises(Conflict) as refused:
        await desk.ask(ResolveAlert(alert_id=raised["alert_id"]))
    assert refused.value.code == "alert_resolved"
    assert len(await desk.left()) == 2


@pytest.mark.parametrize("missing", [MISSING, "no-id"])
async def test_an_alert_that_is_not_there_is_not_found(desk: Desk, missing: str) -> None:
    with pytest.raises(NotFound):
        await desk.ask(ResolveAlert(alert_id=missing))


async def test_a_resolver_must_be_named(desk: Desk) -> None:
    raised = await desk.ask(trouble())
    with pytest.raises(Invalid):
        await desk.ask(ResolveAlert(alert_id=raised["alert_id"]), admin_id=None)


async def test_a_burst_of_critical_events_is_one_alert_and_a_notification_each(desk: Desk) -> None:
    events = [platform_event("platform.error.critical.v1", system="orders") for _ in range(300)]
    await desk.hear(*events)
    await desk.hear(*(platform_event("com.shop.order.placed.v1") for _ in range(50)))
    (row,) = await desk.rows("SELECT occurrence_count, severity FROM alerts")
    assert row == {"occurrence_count": 300, "severity": "critical"}
    assert await desk.value("SELECT count(*) FROM notifications") == 300
    left = await desk.left()
    assert [event.type for event in left[-2:]] == ["reeve.notification.created.v1", "reeve.alert.raised.v1"]
    assert (left[-1].data["occurrences"], left[-1].causationid, left[-1].actortype) == (300, events[-1].id, "system")
    assert [event.causationid for event in left[:300]] == [event.id for event in events]


async def test_an_occurrence_of_tomorrow_is_one_of_now(desk: Desk) -> None:
    event = platform_event("platform.error.critical.v1")
    early = event._replace(id=new_id(), time=event.time - timedelta(hours=1))
    ahead = event._replace(id=new_id(), time=event.time + timedelta(days=1))
    await desk.hear(ahead, early)
    (row,) = await desk.rows("SELECT first_occurred_at, last_occurred_at FROM alerts")
    assert row["first_occurred_at"] == early.time
    assert row["last_occurred_at"] <= datetime.now(UTC)


async def test_raisers_and_resolvers_at_once_leave_one_unresolved_and_lose_no_occurrence(desk: Desk) -> None:
    async def raise_some() -> None:
        for _ in range(25):
            await desk.ask(trouble())
            await desk.hear(platform_event("platform.error.critical.v1"))

    async def resolve_some() -> None:
        for _ in range(25):
            for row in await desk.rows("SELECT id::text FROM alerts WHERE NOT is_resolved"):
                try:
                    await desk.ask(ResolveAlert(alert_id=row["id"]))
                except Conflict:
                    continue

    await asyncio.gather(*(raise_some() for _ in range(4)), *(resolve_some() for _ in range(3)))
    rows = await desk.rows(
        "SELECT fingerprint, sum(occurrence_count)::int AS occurrences, count(*) FILTER (WHERE NOT is_resolved) AS active"
        " FROM alerts GROUP BY fingerprint"
    )
    assert sorted(row["occurrences"] for row in rows) == [100, 100]
    assert all(row["active"] <= 1 for row in rows)
    chain = await desk.value(
        "SELECT count(*) FROM (SELECT previous_alert_id IS NOT DISTINCT FROM lag(id) OVER (PARTITION BY fingerprint"
        " ORDER BY id) AS follows FROM alerts) AS chained WHERE NOT follows"
    )
    assert chain == 0


Step = tuple[str, str]
steps = st.lists(st.tuples(st.sampled_from(["raise", "resolve"]), st.sampled_from(["a", "b", "c"])), max_size=25)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, batch=st.integers(1, 4))
async def test_any_order_of_raising_and_resolving_keeps_the_counts(desk: Desk, steps: list[Step], batch: int) -> None:
    run = new_id()
    expected: dict[str, list[int]] = {}
    open_: set[str] = set()
    for number, (what, name) in enumerate(steps):
        key = f"{run}:{name}"
        if what == "raise":
            async with desk.database.transaction() as session:
                await alerts.take_turn(session)
                now = datetime.now(UTC)
                draft = AlertDraft("system", "info", f"t{number}", fingerprint=key)
                (raised,) = await alerts.raise_all(session, [Occurrence(draft, now, now, count=batch)])
            assert raised.is_new == (key not in open_)
            if raised.is_new:
                expected.setdefault(key, []).append(0)
                open_.add(key)
            expected[key][-1] += batch
            assert raised.alert.occurrence_count == expected[key][-1]
        elif key in open_:
            open_.discard(key)
            (row,) = await desk.rows("SELECT id::text FROM alerts WHERE fingerprint = $1 AND NOT is_resolved", key)
            await desk.ask(ResolveAlert(alert_id=row["id"]))
    rows = await desk.rows(
        "SELECT fingerprint, occurrence_count, is_resolved FROM alerts WHERE fingerprint LIKE $1 ORDER BY id",
        f"{run}:%",
    )
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row["fingerprint"], []).append(row["occurrence_count"])
    assert found == expected
    assert {row["fingerprint"] for row in rows if not row["is_resolved"]} == open_


async def test_writers_that_meet_from_both_sides_do_not_deadlock(desk: Desk) -> None:
    """Commands take alerts before notifications, events the other way round; one turn orders them."""

    async def by_commands() -> None:
        async with desk.database.transaction() as session:
            await alerts.take_turn(session)
            now = datetime.now(UTC)
            await alerts.raise_all(session, [Occurrence(AlertDraft("system", "info", "x", fingerprint="x"), now, now)])
            await driver(session).execute("SELECT pg_sleep(0.01)")
            await driver(session).execute("UPDATE turn SET last_position = last_position + 1")

    async with asyncio.timeout(20):
        await asyncio.gather(
            *(by_commands() for _ in range(8)),
            *(desk.hear(platform_event("platform.error.critical.v1")) for _ in range(8)),
        )
    assert await desk.value("SELECT sum(occurrence_count)::int FROM alerts") == 16
