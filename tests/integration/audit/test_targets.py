"""One thing's whole history: oldest first, by cursor, through an index."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import asyncpg
import pytest

from libs.common.database.engine import driver
from services.audit.schemas import HistoryQuery
from services.audit.store import search
from tests.integration.audit.archive import ADMIN, OTHER, Archive, platform_event, request_recorded

START = datetime(2026, 1, 10, 12, tzinfo=UTC)


async def test_a_history_is_of_one_thing_and_oldest_first(archive: Archive) -> None:
    late = request_recorded(id="late", time=START + timedelta(hours=1), subject="setting/theme")
    early = request_recorded(id="early", time=START, subject="setting/theme")
    others = [request_recorded(subject=subject) for subject in ("setting/theme2", "user/theme", "setting", None)]
    await archive.record(late, *others, early, platform_event(id="placed", time=START, subject="setting/theme"))

    body = await archive.body("/targets/setting/theme")

    assert [entry["event_id"] for entry in body["history"]] == ["early", "placed", "late"]
    assert (body["total"], body["total_is_exact"], body["next_cursor"]) == (3, True, None)
    assert body["history"][0] == (await archive.body("/logs?target_id=theme&target_type=setting"))["logs"][-1]


async def test_a_history_is_walked_by_cursor_and_its_cursor_opens_no_other(archive: Archive) -> None:
    await archive.record(*[request_recorded(id=f"e{n}", time=START, subject="user/7") for n in range(7)])
    seen: list[str] = []
    cursor, first = "", ""
    while cursor is not None:
        page = await archive.body(f"/targets/user/7?limit=3{cursor and '&cursor='}{cursor}")
        seen += [entry["event_id"] for entry in page["history"]]
        cursor = page["next_cursor"]
        first = first or cursor
    assert seen == [f"e{n}" for n in range(7)]
    for target in (f"/targets/user/8?limit=3&cursor={first}", f"/targets/setting/7?limit=3&cursor={first}"):
        refused = await archive.get(target)
        assert (refused.status_code, refused.json()["detail"]["error"]) == (422, "invalid_cursor")


@pytest.mark.parametrize("name", ["a/b", "a b", "%41", "grün", "?x=1", "...", "a%2Fb"])
async def test_whatever_a_target_is_called_its_history_is_found(archive: Archive, name: str) -> None:
    await archive.record(request_recorded(id="it", subject=f"file/{name}"), request_recorded(subject="file/other"))
    body = await archive.body(f"/targets/file/{quote(name, safe='')}")
    assert [entry["event_id"] for entry in body["history"]] == ["it"]


async def test_a_cursor_of_one_reader_is_no_use_to_another(archive: Archive) -> None:
    await archive.record(*[request_recorded(time=START) for _ in range(3)])
    cursor = (await archive.body("/logs?limit=1"))["next_cursor"]
    assert (await archive.get(f"/logs?limit=1&cursor={cursor}", reader=ADMIN)).status_code == 200
    refused = await archive.get(f"/logs?limit=1&cursor={cursor}", reader=OTHER)
    assert (refused.status_code, refused.json()["detail"]["error"]) == (422, "invalid_cursor")


async def test_a_history_comes_through_the_index_of_targets(archive: Archive, owner: asyncpg.Connection) -> None:
    await archive.record(*[request_recorded(subject=f"order/{n % 400}") for n in range(2000)])
    await owner.execute("ANALYZE entries")
    where, values = search.conditions(HistoryQuery().of("order", "7").filters())
    sql = f"EXPLAIN SELECT * FROM entries{search.clause(where)} ORDER BY created_at, sequence LIMIT 51"
    async with archive.database.reading() as session:
        plan = "\n".join(row[0] for row in await driver(session).fetch(sql, *values))
    # The partitions of months to come are empty, and cost nothing either way.
    scans = [line for line in plan.splitlines() if " on entries_" in line and "cost=0.00..0.00" not in line]
    assert scans, plan
    assert all("target_type_target_id" in line for line in scans), plan
