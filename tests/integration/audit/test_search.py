"""Searching the log: every filter, every order, every page, and what may not be asked."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from libs.common.events.envelope import Event
from libs.common.events.requests import OperationRejected
from tests.integration.audit.archive import ADMIN, OTHER, Archive, arrived, platform_event, request_recorded

START = datetime(2026, 1, 10, 12, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def believable() -> dict[str, Event]:
    """Seven events, a minute apart, each by a short name."""
    return {
        "read": request_recorded(
            id="read", time=at(0), origin={"request_id": "request-read", "ip_address": "203.0.113.7"}
        ),
        "denied": request_recorded(
            id="denied", time=at(1), actorid=OTHER, subject="user/7", severitytext="warning",
            origin={"username": "bob@example.com", "request_id": "request-denied", "ip_address": "203.0.113.200"},
            data={"action": "delete_user", "outcome": "denied", "status": 403},
        ),
        "changed": request_recorded(
            id="changed", time=at(2), source="/reeve/settings", type="reeve.setting.changed.v1",
            subject="setting/shop.max_stores", causationid="operation-1", origin={"ip_address": "2001:db8::7"},
            data={"action": "update_setting", "key": "shop.max_stores", "changes": {"value": {"old": 1000, "new": 1250}}},
        ),
        "refused": request_recorded(
            id="refused", time=at(3), source="/reeve/settings", type=OperationRejected.TYPE,
            subject="setting/theme", severitytext="error",
            data={
                "action": "create_setting", "operation_id": "operation-2",
                "error": {"error": "setting_exists", "message": "theme exists already"},
            },
        ),
        "order": platform_event(id="order", time=at(4), data={"note": "two crates of Grüße", "store": {"name": "Rose"}}),
        "import": platform_event(
            "platform.import.failed.v1", id="import", time=at(5), subject="import/7", severitytext="critical",
            data={"error_message": "line 17: price is not a number", "job_id": 4711},
        ),
        "bare": platform_event(id="bare", source="/platform/bank", time=at(6), subject=None, data={}),
    }  # fmt: skip


@pytest.fixture
async def filled(archive: Archive) -> Archive:
    """The log with the seven events, newest last."""
    await archive.record(*believable().values())
    return archive


FILTERS = [
    ("", "bare import order refused changed denied read"),
    ("sort=-created_at", "bare import order refused changed denied read"),
    ("sort=created_at", "read denied changed refused order import bare"),
    ("action=delete_user", "denied"),
    ("action=delete_user&action=update_setting", "changed denied"),
    ("action=platform.import.failed.v1", "import"),
    ("target_type=setting", "refused changed"),
    ("target_type=setting&target_type=user", "refused changed denied"),
    ("target_id=7", "import denied"),
    ("target_id=7&target_id=theme", "import refused denied"),
    ("target_type=user&target_id=7", "denied"),
    (f"admin_user_id={OTHER}", "denied"),
    (f"admin_user_id={OTHER}&admin_user_id={ADMIN}", "refused changed denied read"),
    ("outcome=denied", "denied"),
    ("outcome=denied&outcome=failure", "import refused denied"),
    ("outcome=success", "bare order changed read"),
    ("severity=critical", "import"),
    ("severity=warning&severity=error", "refused denied"),
    ("ip_address=203.0.113.7", "refused read"),
    ("ip_address=203.0.113.0/25", "refused read"),
    ("ip_address=203.0.113.0/24", "refused denied read"),
    ("ip_address=203.0.113.99/24", "refused denied read"),
    ("ip_address=0.0.0.0/0", "refused denied read"),
    ("ip_address=2001:db8::/32", "changed"),
    ("ip_address=2001:DB8:0::7", "changed"),
    ("ip_address=::/0", "changed"),
    ("ip_address=::ffff:203.0.113.200", "denied"),
    ("ip_address=203.0.113.200&ip_address=2001:db8::7", "changed denied"),
    ("ip_address=198.51.100.0/24", ""),
    ("source=/platform/shop", "import order"),
    ("source=/platform/bank&source=/reeve/settings", "bare refused changed"),
    ("request_id=request-read", "read"),
    ("operation_id=operation-1", "changed"),
    ("operation_id=operation-1&operation_id=operation-2", "refused changed"),
    ("date_from=2026-01-10T12:04:00Z", "bare import order"),
    ("date_from=2026-01-10T13:04:00%2B01:00", "bare import order"),
    ("date_to=2026-01-10T12:04:00Z", "refused changed denied read"),
    ("date_from=2026-01-10T12:01:00Z&date_to=2026-01-10T12:03:00Z", "changed denied"),
    ("date_from=2026-01-10&date_to=2026-01-11", "bare import order refused changed denied read"),
    ("date_from=2026-01-11", ""),
    ("q=price", "import"),
    ("q=PRICE+number", "import"),
    ("q=price+theme", ""),
    ("q=price+or+theme", "import refused"),
    ("q=already+-price", "refused"),
    ("q=setting+-theme", "changed"),
    ("q=%22not+a+number%22", "import"),
    ("q=shop.max_stores", "changed"),
    ("q=max_stores", "changed"),
    ("q=stores", "changed"),
    ("q=1250", "changed"),
    ("q=4711", "import order"),
    ("q=gr%C3%BCsse+or+GR%C3%9C%C3%9FE", "order"),
    ("q=rose", "order"),
    ("q=bob@example.com", "denied"),
    ("q=bob", "denied"),
    ("q=delete_user", "denied"),
    ("q=import/7", "import"),
    ("q=%27%26%7C!()%3A*%5C", ""),
    ("q=...", ""),
    ("q=+", "bare import order refused changed denied read"),
    ("q=", "bare import order refused changed denied read"),
    ("outcome=failure&severity=error&source=/reeve/settings&q=theme&target_id=theme", "refused"),
    ("skip=5", "denied read"),
    ("skip=2&limit=2", "order refused"),
    ("skip=7", ""),
    ("limit=3", "bare import order"),
]


async def test_each_filter_finds_what_it_says(filled: Archive) -> None:
    for query, expected in FILTERS:
        assert await filled.found(f"?{query}") == expected.split(), query
        body = await filled.body(f"/logs?{query or 'skip=0'}")
        assert body["total_is_exact"] is True
        if "skip" not in query and "limit" not in query:
            assert body["total"] == len(expected.split()), query
            assert [entry["event_id"] async for entry in filled.walk(f"{query}&limit=2")] == expected.split(), query


@pytest.mark.parametrize("sort", ["-created_at", "created_at"])
async def test_an_id_alone_is_found_in_the_order_of_time_whatever_its_types(archive: Archive, sort: str) -> None:
    events = [
        platform_event(id=f"{minute}", time=at(minute), subject=f"{kind}/7")
        for minute, kind in enumerate(["order", "user", "order", "order", "import", "user", "order"])
    ]
    await archive.record(*events, platform_event(subject="order/8"))
    ids = [event.id for event in (events if sort == "created_at" else reversed(events))]
    for skip in range(8):
        for limit in range(1, 8):
            query = f"target_id=7&sort={sort}&skip={skip}&limit={limit}"
            assert await archive.found(f"?{query}") == ids[skip : skip + limit], query
    assert [entry["event_id"] async for entry in archive.walk(f"target_id=7&sort={sort}&limit=2")] == ids


REFUSED: list[tuple[str, list[Any], str]] = [
    ("outcome=maybe", ["query", "outcome", 0], "'success', 'denied' or 'failure'"),
    ("severity=high", ["query", "severity", 0], "'info', 'warning', 'error' or 'critical'"),
    ("sort=action", ["query", "sort"], "'created_at' or '-created_at'"),
    ("ip_address=nowhere", ["query", "ip_address", 0], "an address or a CIDR network"),
    ("ip_address=10.0.0.0/33", ["query", "ip_address", 0], "an address or a CIDR network"),
    ("date_from=yesterday", ["query", "date_from"], "an RFC 3339 time"),
    ("date_from=0", ["query", "date_from"], "an RFC 3339 time"),
    ("date_to=2026-13-01T00:00:00Z", ["query", "date_to"], "month"),
    ("date_from=0001-01-01T00:00:00%2B14:00", ["query", "date_from"], "the years 1 to 9999"),
    ("limit=0", ["query", "limit"], "greater than or equal to 1"),
    ("limit=201", ["query", "limit"], "less than or equal to 200"),
    ("skip=-1", ["query", "skip"], "greater than or equal to 0"),
    ("action=", ["query", "action", 0], "at least 1 character"),
    ("action=" + "x" * 256, ["query", "action", 0], "at most 255 characters"),
    ("q=" + "x" * 201, ["query", "q"], "at most 200 characters"),
    ("action=a&" * 51, ["query", "action"], "at most 50 items"),
    ("user=ada", ["query", "user"], "Unknown query parameter"),
    ("q=a&q=b", ["query", "q"], "more than once"),
]


async def test_a_bad_filter_is_named_with_its_rule(archive: Archive) -> None:
    for query, place, rule in REFUSED:
        refused = await archive.get(f"/logs?{query.rstrip('&')}")
        assert refused.status_code == 422, query
        detail = refused.json()["detail"]
        assert detail["error"] == "validation_error"
        assert detail["errors"][0]["loc"] == place, query
        assert rule in detail["errors"][0]["msg"], query
        assert str(place[1]) in detail["message"]


async def test_past_ten_thousand_a_cursor_is_needed(archive: Archive) -> None:
    assert (await archive.get("/logs?skip=10000")).status_code == 200
    refused = await archive.get("/logs?skip=10001")
    assert (refused.status_code, refused.json()["detail"]["error"]) == (422, "use_cursor")


async def test_a_cursor_holds_for_its_filters_and_sort_only(filled: Archive) -> None:
    cursor = (await filled.body("/logs?limit=1&outcome=success"))["next_cursor"]
    changed = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    assert (await filled.get(f"/logs?limit=2&outcome=success&cursor={cursor}")).status_code == 200
    for query in (
        f"limit=1&cursor={cursor}",
        f"limit=1&outcome=denied&cursor={cursor}",
        f"limit=1&outcome=success&sort=created_at&cursor={cursor}",
        f"limit=1&outcome=success&skip=1&cursor={cursor}",
        f"limit=1&outcome=success&cursor={changed}",
        "cursor=x",
        "cursor=%F0%9F%92%A3",
    ):
        refused = await filled.get(f"/logs?{query}")
        assert (refused.status_code, refused.json()["detail"]["error"]) == (422, "invalid_cursor")


@pytest.mark.parametrize("sort", ["-created_at", "created_at"])
async def test_a_walk_misses_and_repeats_nothing_while_entries_come_in(archive: Archive, sort: str) -> None:
    """Many entries share a moment, and new ones come before, among and after those that the walk has yet to see."""
    moments = [START + timedelta(seconds=number % 500) for number in range(10_000)]
    for begin in range(0, 10_000, 1000):
        await archive.record(*[request_recorded(time=moment) for moment in moments[begin : begin + 1000]])
    existing = {row["event_id"] for row in await archive.rows("SELECT event_id FROM entries")}
    is_done = False

    async def disturb() -> int:
        turn = 0
        while not is_done:
            turn += 1
            moments = [START + timedelta(seconds=offset) for offset in (-turn, turn % 500, 250, 600 + turn)]
            await archive.record(*[platform_event(time=moment) for moment in moments])
            await asyncio.sleep(0)
        return turn

    disturbing = asyncio.ensure_future(disturb())
    seen = [(entry["created_at"], entry["event_id"]) async for entry in archive.walk(f"limit=200&sort={sort}")]
    is_done = True
    assert await disturbing > 10
    ids = [event_id for _, event_id in seen]
    assert len(ids) == len(set(ids))
    assert existing <= set(ids)
    assert [moment for moment, _ in seen] == sorted((moment for moment, _ in seen), reverse=sort.startswith("-"))


async def test_the_total_is_capped(archive: Archive) -> None:
    async with archive.database.transaction() as session:
        for _ in range(2):
            await archive.recorder.record_events(session, [arrived(request_recorded()) for _ in range(5001)])
    body = await archive.body("/logs?limit=1")
    assert (body["total"], body["total_is_exact"], len(body["logs"])) == (10_000, False, 1)
    body = await archive.body(f"/logs?limit=1&admin_user_id={OTHER}")
    assert (body["total"], body["total_is_exact"], body["next_cursor"]) == (0, True, None)


async def test_an_entry_is_found_by_its_id(filled: Archive) -> None:
    for listed in (await filled.body("/logs"))["logs"]:
        assert await filled.body(f"/logs/{listed['id']}") == {**listed, "undone_by": None, "proof_state": "accepted"}


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("0199a0c0-0000-7000-8000-000000000000", 404, "audit_log_not_found"),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", 404, "audit_log_not_found"),
        ("not-an-id", 422, "validation_error"),
    ],
)
async def test_an_unknown_id_is_said_to_be_one(filled: Archive, name: str, status: int, code: str) -> None:
    refused = await filled.get(f"/logs/{name}")
    assert (refused.status_code, refused.json()["detail"]["error"]) == (status, code)


async def test_only_the_gateway_is_answered(archive: Archive) -> None:
    for target in ("/logs", f"/logs/{ADMIN}", "/stats", "/actions", "/target-types"):
        assert (await archive.client.get(f"/internal/audit{target}")).status_code == 401
        assert (await archive.get(target, permission="settings:read")).status_code == 401
        assert (await archive.get(target, audience="settings")).status_code == 401


async def test_a_filter_cannot_hold_what_no_text_holds(archive: Archive) -> None:
    for name in ("action", "q", "cursor"):
        assert (await archive.get(f"/logs?{name}=a%00b")).status_code in (400, 422)


async def test_hostile_filters_find_nothing_and_break_nothing(filled: Archive) -> None:
    for text in ("'; DROP TABLE entries; --", "%", "_", "\\", "$1", "🙈", "a\u2028b\u2029c", "a" * 255, "null", "{}"):
        for name in ("action", "target_id", "source", "request_id", "operation_id", "admin_user_id", "q"):
            value = quote(text[:200])
            assert await filled.found(f"?{name}={value}") == [], (name, text)
    many = urlencode([("action", f"action-{number}") for number in range(50)])
    assert await filled.found(f"?{many}") == []


async def test_an_entry_names_the_one_that_tells_that_it_was_undone(archive: Archive) -> None:
    def told(data: dict[str, object], kind: str = "reeve.user.status_changed.v1", **given: object) -> Event:
        undoes = {"undoes": original} if original else {}
        return request_recorded(
            type=kind, **{"subject": "user/7", "origin": undoes, "data": {"user_id": "7", **data}, **given}
        )

    original: str | None = None
    deed = told({})
    await archive.record(deed)
    original = (await archive.body("/logs"))["logs"][0]["id"]
    elsewhere, failed = told({}, subject="user/8"), told({"outcome": "failure"})
    asked = told({"action": "change"}, "reeve.operation.accepted.v1")
    answered = told({"action": "change"}, "reeve.request.recorded.v1")
    await archive.record(elsewhere, failed, asked, answered)
    assert (await archive.body(f"/logs/{original}"))["undone_by"] is None
    done, later = told({}), told({})
    await archive.record(done, later)
    view = await archive.body(f"/logs/{original}")
    undoing = await archive.body(f"/logs/{view['undone_by']}")
    assert (undoing["event_id"], undoing["details"]["undoes"]) == (done.id, original)
    assert undoing["undone_by"] is None
