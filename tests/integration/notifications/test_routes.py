"""The internal reads, called as the gateway calls them."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.database.engine import driver
from libs.common.events.notifications import (
    CreateNotification,
    RaiseAlert,
    ReadAllNotifications,
    ReadNotification,
    ResolveAlert,
)
from services.notifications.models import NotificationDraft
from services.notifications.store import notifications
from tests.integration.notifications.conftest import Reader
from tests.integration.notifications.desk import ADMIN, MISSING, OTHER, Desk, platform_event


async def create(desk: Desk, title: str, **given_: object) -> str:
    asked = CreateNotification.model_validate({"type": "announcement", "title": title, **given_})
    return str((await desk.ask(asked))["notification_id"])


async def titles(reader: Reader, query: str = "", *, admin_id: str = ADMIN) -> list[str]:
    found = await reader.get(query, admin_id=admin_id)
    assert found.status_code == 200, found.text
    return [one["title"] for one in found.json()["notifications"]]


async def test_the_list_has_the_shape_of_every_list_and_the_unread_count(desk: Desk, reader: Reader) -> None:
    first = await create(desk, "first")
    await create(desk, "second")
    await desk.ask(ReadNotification(notification_id=first))
    body = (await reader.get("?limit=1")).json()
    assert [one["title"] for one in body["notifications"]] == ["second"]
    assert {name: value for name, value in body.items() if name not in ("notifications", "next_cursor")} == {
        "total": 2, "total_is_exact": True, "skip": 0, "limit": 1, "unread_count": 1,
    }  # fmt: skip
    assert body["next_cursor"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["d", "c", "b", "a"]),
        ("?priority=critical", ["d"]),
        ("?type=import_failure", ["c"]),
        ("?action_required=true", ["d", "b"]),
        ("?action_required=false", ["c", "a"]),
        ("?is_read=true", ["b", "a"]),
        ("?is_read=false", ["d", "c"]),
        ("?is_read=false&action_required=true", ["d"]),
        ("?is_read=true&action_required=true&type=announcement", ["b"]),
        ("?skip=1&limit=2", ["c", "b"]),
        ("?is_read=false&skip=1", ["c"]),
        ("?type=nothing", []),
    ],
)
async def test_filters(desk: Desk, reader: Reader, query: str, expected: list[str]) -> None:
    await create(desk, "a")
    await create(desk, "b", action_required=True)
    await desk.ask(ReadAllNotifications())
    await create(desk, "c", type="import_failure")
    await create(desk, "d", priority="critical", action_required=True)
    assert await titles(reader, query) == expected
    found = (await reader.get(query)).json()
    assert found["total"] == (len(expected) if "skip" not in query else found["total"])


async def test_cursors_walk_the_whole_list_while_new_ones_come(desk: Desk, reader: Reader) -> None:
    for number in range(25):
        await create(desk, f"n{number}")
    seen: list[str] = []
    query = "?limit=10"
    while True:
        body = (await reader.get(query)).json()
        seen += [one["title"] for one in body["notifications"]]
        if body["next_cursor"] is None:
            break
        await create(desk, "late")
        query = f"?limit=10&cursor={body['next_cursor']}"
    assert seen == [f"n{number}" for number in reversed(range(25))]


async def test_a_cursor_holds_for_its_reader_and_filters_only(desk: Desk, reader: Reader) -> None:
    for number in range(3):
        await create(desk, f"n{number}")
    cursor = (await reader.get("?limit=1")).json()["next_cursor"]
    assert (await reader.get(f"?limit=1&cursor={cursor}")).status_code == 200
    for query, admin_id in ((f"?limit=1&cursor={cursor}", OTHER), (f"?limit=1&type=x&cursor={cursor}", ADMIN)):
        refused = await reader.get(query, admin_id=admin_id)
        assert (refused.status_code, refused.json()["detail"]["error"]) == (422, "invalid_cursor")


async def test_the_bell_shows_what_is_new_and_unread(desk: Desk, reader: Reader) -> None:
    for number in range(7):
        await create(desk, f"n{number}")
    last = (await reader.get("?limit=1")).json()["notifications"][0]["id"]
    await desk.ask(ReadNotification(notification_id=last))
    assert await titles(reader, "/recent") == ["n5", "n4", "n3", "n2", "n1"]
    assert await titles(reader, "/recent?limit=2") == ["n5", "n4"]
    assert (await reader.get("/unread-count")).json() == {"unread_count": 6}
    assert (await reader.get("/unread-count", admin_id=OTHER)).json() == {"unread_count": 7}


async def test_past_its_bound_the_unread_count_stays_at_10000(desk: Desk, reader: Reader) -> None:
    async with desk.database.transaction() as session:
        drafts = [NotificationDraft("x", "low", "many")] * 10_500
        await notifications.append(session, drafts, now=datetime.now(UTC))
    assert (await reader.get("/unread-count")).json() == {"unread_count": 10_000}
    body = (await reader.get("?limit=1")).json()
    assert (body["total"], body["total_is_exact"], body["unread_count"]) == (10_000, False, 10_000)
    await desk.ask(ReadAllNotifications())
    assert (await reader.get("/unread-count")).json() == {"unread_count": 0}


async def test_one_notification(desk: Desk, reader: Reader) -> None:
    created = await create(desk, "one")
    assert (await reader.get(f"/{created}")).json()["title"] == "one"
    missing = await reader.get(f"/{MISSING}")
    assert (missing.status_code, missing.json()["detail"]["error"]) == (404, "notification_not_found")
    assert (await reader.get("/no-id")).status_code == 422


async def test_what_a_rule_made_is_listed_with_its_metadata(desk: Desk, reader: Reader) -> None:
    await desk.hear(platform_event(store_name="Rose & Co", job_id=4711, error_message="line 17"))
    (made,) = (await reader.get("?priority=high")).json()["notifications"]
    assert made["type"] == "import_failure"
    assert made["notification_metadata"].items() >= {
        "store_name": "Rose & Co", "store_id": 12, "job_id": 4711, "error_message": "line 17",
    }.items()  # fmt: skip


async def test_alerts_are_listed_filtered_and_read_with_their_timeline(desk: Desk, reader: Reader) -> None:
    first = await desk.ask(RaiseAlert(alert_type="security", severity="critical", title="one", fingerprint="f1"))
    await desk.ask(RaiseAlert(alert_type="security", severity="critical", title="one", fingerprint="f1"))
    await desk.ask(RaiseAlert(alert_type="database", severity="error", title="two"))
    await desk.ask(ResolveAlert(alert_id=first["alert_id"], resolution_notes="done"))
    for query, expected in (
        ("", ["two", "one"]), ("?is_resolved=false", ["two"]), ("?is_resolved=true", ["one"]), ("?severity=error", ["two"]),
        ("?alert_type=security", ["one"]), ("?fingerprint=f1", ["one"]), ("?fingerprint=f2", []),
    ):  # fmt: skip
        body = (await reader.get(f"/alerts{query}")).json()
        assert [one["title"] for one in body["alerts"]] == expected
        assert body["total"] == len(expected)
    found = (await reader.get(f"/alerts/{first['alert_id']}")).json()
    assert found["occurrence_count"] == 2
    assert [entry["what"] for entry in found["timeline"]] == ["raised", "repeated", "resolved"]
    assert (await reader.get(f"/alerts/{MISSING}")).json()["detail"]["error"] == "alert_not_found"


async def test_alerts_are_paged_by_cursor(desk: Desk, reader: Reader) -> None:
    for number in range(5):
        await desk.ask(RaiseAlert(alert_type="system", title=f"a{number}"))
    first = (await reader.get("/alerts?limit=3")).json()
    rest = (await reader.get(f"/alerts?limit=3&cursor={first['next_cursor']}")).json()
    assert [one["title"] for one in first["alerts"] + rest["alerts"]] == ["a4", "a3", "a2", "a1", "a0"]
    assert rest["next_cursor"] is None


async def test_stats_count_what_is_active_and_what_was_resolved_today(desk: Desk, reader: Reader) -> None:
    for number in range(3):
        await desk.ask(RaiseAlert(alert_type="security", severity="critical", title=f"s{number}"))
    done = await desk.ask(RaiseAlert(alert_type="database", severity="error", title="d"))
    await desk.ask(ResolveAlert(alert_id=done["alert_id"]))
    earlier = await desk.ask(RaiseAlert(alert_type="database", severity="error", title="e"))
    await desk.ask(ResolveAlert(alert_id=earlier["alert_id"]))
    async with desk.database.transaction() as session:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        await driver(session).execute("UPDATE alerts SET resolved_at = $1 WHERE title = 'e'", yesterday)
    assert (await reader.get("/alerts/stats")).json() == {
        "total": 5, "total_is_exact": True, "active": 3, "critical": 3, "resolved_today": 1,
        "by_type": {"security": 3}, "by_severity": {"info": 0, "warning": 0, "error": 0, "critical": 3},
    }  # fmt: skip


@pytest.mark.parametrize(
    "target", ["", "/recent", "/unread-count", "/alerts", "/alerts/stats", f"/{MISSING}", f"/alerts/{MISSING}"]
)
async def test_nobody_reads_without_an_assertion_of_this_very_permission(reader: Reader, target: str) -> None:
    bare = await reader.client.get(f"/internal/notifications{target}")
    assert bare.status_code == 401
    other = "notifications:read" if target.startswith("/alerts") else "alerts:read"
    assert (await reader.get(target, permission=other)).status_code == 401
    assert (await reader.get(target, audience="settings")).status_code == 401


@pytest.mark.parametrize(
    "target",
    ["?priority=urgent", "?is_read=perhaps", "?limit=0", "?limit=201", "?skip=10001", "?colour=red", "/recent?limit=0", "/alerts?severity=fatal", "/alerts/no-id"],
)  # fmt: skip
async def test_wrong_parameters_are_refused(reader: Reader, target: str) -> None:
    assert (await reader.get(target)).status_code == 422


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80))
async def test_no_filter_text_breaks_a_list(reader: Reader, text: str) -> None:
    encoded = quote(text, safe="", errors="surrogatepass")
    for target in (f"?type={encoded}", f"/alerts?fingerprint={encoded}", f"/alerts?alert_type={encoded}"):
        assert (await reader.get(target)).status_code in (200, 400, 422)
