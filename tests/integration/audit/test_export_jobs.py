"""The life of an export: whose it is, what it may take, how it ends, and how another worker goes on with it."""

import asyncio
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from libs.common.database.engine import Connection, driver
from libs.common.database.exports import ExportJob
from libs.common.events.exports import EndExport, StartExport
from libs.common.exports.jobs import MOST_ACTIVE_OF_ONE, MOST_ATTEMPTS
from libs.common.exports.source import Write
from libs.common.ids import new_id
from services.audit.exports import AuditSource
from tests.integration.audit.archive import ADMIN, OTHER, Archive, platform_event
from tests.integration.audit.exporting import GENEROUS, Exporter
from tests.support.eventually import eventually

LOG = 4_000
NOWHERE = "0199a0c0-0000-7000-8000-000000000000"


class Stumbling(AuditSource):
    """The audit log in small windows, with something that happens before one of them."""

    window = 500

    def __init__(self, at: int, happens: Any) -> None:
        self._at = at
        self._happens = happens

    async def write_window(
        self, connections: Sequence[Connection], job: ExportJob, *, start: int, stop: int, write: Write
    ) -> int:
        if start == self._at:
            await self._happens()
        return await super().write_window(connections, job, start=start, stop=stop, write=write)


@pytest.fixture
async def long_log(archive: Archive, exporter: Exporter) -> Archive:
    """Four thousand entries; a checkpoint after each window."""
    exporter.checkpoint_seconds = 0.0
    for _ in range(LOG // 1000):
        await archive.record(*[platform_event(time=platform_event().time) for _ in range(1000)])
    return archive


def sequences(lines: bytes) -> list[int]:
    return [json.loads(line)["sequence"] for line in lines.splitlines()]


async def events(exporter: Exporter, kind: str) -> list[dict[str, Any]]:
    """What the outbox says of exports."""
    async with exporter.built.database.reading() as session:
        rows = await driver(session).fetch("SELECT body FROM outbox WHERE type = $1 ORDER BY position", kind)
    return [orjson.loads(row["body"]) for row in rows]


async def let_lapse(exporter: Exporter) -> None:
    async with exporter.built.database.transaction() as session:
        await driver(session).execute("UPDATE exports SET lease_until = now() - interval '1 second'")


class Gone(BaseException):
    """The process is killed: nothing of it runs on."""


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_another_worker_goes_on_behind_the_last_checkpoint(
    exporter: Exporter, long_log: Archive, compression: str
) -> None:
    started: list[int] = []

    async def die() -> None:
        raise Gone

    class Watched(Stumbling):
        async def write_window(
            self, connections: Sequence[Connection], job: ExportJob, *, start: int, stop: int, write: Write
        ) -> int:
            started.append(start)
            return await super().write_window(connections, job, start=start, stop=stop, write=write)

    asked = await exporter.start(compression=compression)
    with pytest.raises(Gone):
        await exporter.worker(sources={"audit": Stumbling(2000, die)}).turn()
    left = await exporter.view(asked["id"])
    assert (left["state"], left["rows"], left["progress"]) == ("running", 2000, 0.5)
    await long_log.record(*[platform_event() for _ in range(10)])
    assert not await exporter.worker().turn(), "its lease holds"
    await let_lapse(exporter)

    assert await exporter.worker(sources={"audit": Watched(-1, die)}).turn()

    assert started == [2000, 2500, 3000, 3500]
    job = await exporter.view(asked["id"])
    content = (await exporter.get(f"/{asked['id']}/download")).content
    lines = gzip.decompress(content) if compression == "gzip" else content
    assert sequences(lines) == list(range(LOG)), "each entry once, and none that came after the job began"
    assert (job["rows"], job["manifest"]["snapshot"]) == (LOG, LOG)


async def test_a_worker_that_lost_its_job_spoils_nothing(exporter: Exporter, long_log: Archive) -> None:
    """It sleeps through its lease, wakes, writes on, and learns at its checkpoint that the job is another's."""
    asked = await exporter.start()

    async def oversleep() -> None:
        await let_lapse(exporter)
        assert await exporter.worker(sources={"audit": Stumbling(-1, oversleep)}).turn()

    assert await exporter.worker(sources={"audit": Stumbling(1500, oversleep)}).turn()

    content = (await exporter.get(f"/{asked['id']}/download")).content
    assert sequences(content) == list(range(LOG))
    assert [event["data"]["rows"] for event in await events(exporter, "reeve.export.finished.v1")] == [LOG]


async def test_a_worker_whose_job_another_has_by_now_leaves_it_alone(exporter: Exporter, long_log: Archive) -> None:
    asked = await exporter.start()

    async def die() -> None:
        raise Gone

    async def be_overtaken() -> None:
        await let_lapse(exporter)
        with pytest.raises(Gone):
            await exporter.worker(sources={"audit": Stumbling(2500, die)}).turn()

    assert await exporter.worker(sources={"audit": Stumbling(1500, be_overtaken)}).turn()

    left = await exporter.view(asked["id"])
    assert (left["state"], left["rows"]) == ("running", 2500)
    await let_lapse(exporter)
    assert await exporter.worker().turn()
    assert sequences((await exporter.get(f"/{asked['id']}/download")).content) == list(range(LOG))


async def test_parquet_is_begun_anew_and_has_no_row_twice(exporter: Exporter, long_log: Archive) -> None:
    async def die() -> None:
        raise Gone

    asked = await exporter.start("parquet")
    with pytest.raises(Gone):
        await exporter.worker(sources={"audit": Stumbling(2000, die)}).turn()
    await let_lapse(exporter)
    assert await exporter.worker().turn()
    assert (await exporter.view(asked["id"]))["rows"] == LOG


async def test_a_file_that_is_gone_is_begun_anew(exporter: Exporter, long_log: Archive) -> None:
    async def die() -> None:
        raise Gone

    asked = await exporter.start()
    with pytest.raises(Gone):
        await exporter.worker(sources={"audit": Stumbling(2000, die)}).turn()
    for file in exporter.files():
        file.unlink()
    await let_lapse(exporter)
    assert await exporter.worker().turn()
    assert sequences((await exporter.get(f"/{asked['id']}/download")).content) == list(range(LOG))


async def test_what_kills_every_worker_is_given_up(exporter: Exporter, long_log: Archive) -> None:
    async def die() -> None:
        raise Gone

    asked = await exporter.start()
    for _ in range(MOST_ATTEMPTS):
        with pytest.raises(Gone):
            await exporter.worker(sources={"audit": Stumbling(0, die)}).turn()
        await let_lapse(exporter)
    assert await exporter.worker().turn()
    job = await exporter.view(asked["id"])
    assert (job["state"], job["error"]["error"]) == ("failed", "export_failed")
    assert [event["data"]["outcome"] for event in await events(exporter, "reeve.export.finished.v1")] == ["failure"]


async def test_a_job_that_waits_is_cancelled_at_once(exporter: Exporter) -> None:
    asked = await exporter.start()
    assert (await exporter.end(asked["id"])).data["state"] == "cancelled"
    assert not await exporter.worker().turn()
    assert (await exporter.view(asked["id"]))["state"] == "cancelled"
    assert (await exporter.end(asked["id"])).data["state"] == "cancelled", "again changes nothing"


async def test_a_job_that_runs_stops_when_it_is_cancelled_and_its_file_goes(
    exporter: Exporter, long_log: Archive
) -> None:
    asked = await exporter.start()

    async def cancel() -> None:
        await exporter.end(asked["id"])

    assert await exporter.worker(sources={"audit": Stumbling(1000, cancel)}).turn()

    job = await exporter.view(asked["id"])
    assert (job["state"], job["rows"], job["finished_at"] is not None) == ("cancelled", 1000, True)
    for file in exporter.files():
        os.utime(file, (0, 0))
    await exporter.worker().tidy()
    assert exporter.files() == []
    assert await events(exporter, "reeve.export.finished.v1") == []


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (replace(GENEROUS, most_rows=1999), "at most 1999 rows"),
        (replace(GENEROUS, most_bytes=100_000), "at most 100000 bytes"),
        (replace(GENEROUS, most_seconds=0), "at most 0 seconds"),
    ],
)
async def test_a_job_past_its_limit_fails_and_says_which(
    exporter: Exporter, long_log: Archive, policy: Any, rule: str
) -> None:
    asked = await exporter.start()
    assert await exporter.worker(policy=policy).turn()
    job = await exporter.view(asked["id"])
    assert (job["state"], job["error"]["error"]) == ("failed", "export_too_large")
    assert rule in job["error"]["message"]
    refused = await exporter.get(f"/{asked['id']}/download")
    assert (refused.status_code, refused.json()["detail"]["error"]) == (409, "export_not_ready")


async def test_exactly_at_its_limit_a_job_succeeds(exporter: Exporter, long_log: Archive) -> None:
    asked = await exporter.start()
    assert await exporter.worker(policy=replace(GENEROUS, most_rows=LOG)).turn()
    assert (await exporter.view(asked["id"]))["state"] == "succeeded"


async def test_one_administrator_may_have_so_many_jobs_and_another_too(exporter: Exporter) -> None:
    for _ in range(MOST_ACTIVE_OF_ONE):
        last = await exporter.start()
    one_more = StartExport(export_id=new_id(), source="audit", format="csv")
    refusal = await exporter.refused(one_more)
    assert (refusal.status, refusal.code) == (409, "too_many_exports")
    await exporter.start(owner=OTHER)
    await exporter.end(last["id"])
    await exporter.start()


async def test_at_once_no_more_get_in_than_may(exporter: Exporter) -> None:
    asked = [exporter.start() for _ in range(MOST_ACTIVE_OF_ONE + 4)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(outcome, Mapping) for outcome in outcomes) == MOST_ACTIVE_OF_ONE


async def test_a_file_expires_and_is_gone(exporter: Exporter, archive: Archive) -> None:
    await archive.record(platform_event())
    job, _ = await exporter.exported()
    assert job["expires_at"] > job["finished_at"]
    async with exporter.built.database.transaction() as session:
        await driver(session).execute("UPDATE exports SET expires_at = now()")
    for file in exporter.files():
        os.utime(file, (0, 0))

    await exporter.worker().tidy()

    assert exporter.files() == []
    assert (await exporter.view(job["id"]))["state"] == "expired"
    refused = await exporter.get(f"/{job['id']}/download")
    assert (refused.status_code, refused.json()["detail"]["error"]) == (410, "export_expired")
    assert [event["subject"] for event in await events(exporter, "reeve.export.expired.v1")] == [f"export/{job['id']}"]


async def test_deleting_a_finished_export_takes_its_file_away(exporter: Exporter, archive: Archive) -> None:
    await archive.record(platform_event())
    job, _ = await exporter.exported()
    assert (await exporter.end(job["id"])).data["state"] == "expired"
    assert (await exporter.get(f"/{job['id']}/download")).status_code == 410


async def test_another_administrators_export_is_none(exporter: Exporter, archive: Archive) -> None:
    await archive.record(platform_event())
    job, _ = await exporter.exported()
    for target in (f"/{job['id']}", f"/{job['id']}/download"):
        foreign, missing = await exporter.get(target, owner=OTHER), await exporter.get(f"/{NOWHERE}", owner=OTHER)
        assert foreign.status_code == missing.status_code == 404
        assert foreign.json()["detail"]["error"] == missing.json()["detail"]["error"] == "export_not_found"
    refusal = await exporter.refused(EndExport(export_id=job["id"], source="audit"), owner=OTHER)
    assert (refusal.status, refusal.code) == (404, "export_not_found")
    assert (await exporter.get("", owner=OTHER)).json() == {"exports": [], "total": 0}
    assert [one["id"] for one in (await exporter.get("", owner=ADMIN)).json()["exports"]] == [job["id"]]


async def test_the_list_is_newest_first_and_goes_on_behind_an_id(exporter: Exporter) -> None:
    ids = [(await exporter.start())["id"] for _ in range(3)]
    listed = (await exporter.get("?limit=2")).json()
    assert ([one["id"] for one in listed["exports"]], listed["total"]) == ([ids[2], ids[1]], 3)
    assert [one["id"] for one in (await exporter.get(f"?limit=2&before={ids[1]}")).json()["exports"]] == [ids[0]]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"format": "xlsx"}, "unknown_format", "csv, jsonl, parquet, ocsf"),
    ({"source": "nowhere"}, "unknown_source", "nowhere"),
    ({"filters": {"outcome": "maybe"}}, "validation_error", "'success', 'denied' or 'failure'"),
    ({"filters": {"nothing": "x"}}, "validation_error", "nothing"),
    ({"filters": {"ip_address": "10.0.0.0/99"}}, "validation_error", "CIDR"),
    ({"filters": {"date_from": 7}}, "validation_error", "RFC 3339"),
    ({"filters": {"limit": "5"}}, "validation_error", "limit"),
    ({"options": {"ocsf_version": "1.8.0"}}, "unknown_option", "ocsf"),
    ({"format": "ocsf", "options": {"ocsf_version": "0.1"}}, "unknown_ocsf_version", "1.8.0"),
    ({"options": {"speed": "high"}}, "unknown_option", "speed"),
]


@pytest.mark.parametrize(("asked", "code", "says"), REFUSED)
async def test_what_cannot_be_asked_is_refused_with_its_rule(
    exporter: Exporter, asked: dict[str, Any], code: str, says: str
) -> None:
    given = {"source": "audit", "format": "jsonl", **asked}
    refusal = await exporter.refused(StartExport(export_id=new_id(), **given))
    assert (refusal.status, refusal.code) == (422, code)
    assert says in refusal.message
    if code == "validation_error":
        assert refusal.extra["errors"][0]["loc"][:2] == ["body", "filters"]


async def test_a_download_goes_on_where_it_stopped(exporter: Exporter, archive: Archive) -> None:
    await archive.record(*[platform_event() for _ in range(50)])
    job, whole = await exporter.exported("csv")
    first = await exporter.get(f"/{job['id']}/download", range="bytes=0-99")
    rest = await exporter.get(f"/{job['id']}/download", **{"range": "bytes=100-", "if-range": first.headers["etag"]})
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.content + rest.content == whole
    assert first.headers["etag"] == f'"{job["manifest"]["file"]["sha256"]}"'
    assert rest.headers["content-range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    other = await exporter.get(f"/{job['id']}/download", **{"range": "bytes=100-", "if-range": '"another"'})
    assert (other.status_code, other.content) == (200, whole)
    assert 'filename="reeve-audit-' in first.headers["content-disposition"]
    assert first.headers["content-disposition"].startswith("attachment;")


async def test_only_whom_the_gateway_checked_for_exports_is_answered(exporter: Exporter) -> None:
    for target in ("", "/keys", f"/{NOWHERE}", f"/{NOWHERE}/download"):
        assert (await exporter.get(target, permission="audit:read")).status_code == 401
        assert (await exporter.archive.client.get(f"/internal/exports/audit{target}")).status_code == 401


async def test_the_service_itself_runs_what_is_asked_for(exporter: Exporter, archive: Archive) -> None:
    await archive.record(platform_event())
    asked = await exporter.start()
    worker = asyncio.ensure_future(exporter.worker().run())
    try:

        async def is_done() -> bool:
            return bool((await exporter.view(asked["id"]))["state"] == "succeeded")

        await eventually(is_done)
    finally:
        worker.cancel()
    [finished] = await events(exporter, "reeve.export.finished.v1")
    assert (finished["actorid"], finished["correlationid"], finished["subject"]) == (
        ADMIN, "request-7", f"export/{asked['id']}",
    )  # fmt: skip
