"""Decisions about jobs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from libs.common.database.exports import ExportJob, Kept
from libs.common.errors import Conflict
from libs.common.exports.jobs import (
    MOST_ACTIVE_OF_ONE,
    MOST_KEPT,
    MOST_KEPT_OF_ONE,
    ExportTooLarge,
    Policy,
    check_room,
    check_size,
    progress_of,
    resumes_at,
    seconds_left,
)
from libs.common.exports.source import media_of

NOW = datetime(2026, 1, 31, tzinfo=UTC)
JOB = ExportJob(
    id=UUID(int=7), source="audit", format="jsonl", compression="none", options={}, filters={}, owner_id="ada",
    owner_name=None, correlation_id=None, state="running", position=500, ends=1000, rows=300, bytes=9000, file="f",
    attempts=1, worker=None, created_at=NOW, started_at=NOW, finished_at=None, expires_at=None, error=None,
    manifest=None, signature=None,
)  # fmt: skip
POLICY = Policy(most_rows=10, most_bytes=100, most_seconds=60, kept_hours=24)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (JOB, 0.5),
        (replace(JOB, position=0), 0.0),
        (replace(JOB, ends=None, position=0), 0.0),
        (replace(JOB, ends=0, position=0), 0.0),
        (replace(JOB, position=1000), 0.99),
        (replace(JOB, position=1000, manifest="{}"), 1.0),
    ],
)
def test_only_what_has_succeeded_is_whole(job: ExportJob, expected: float) -> None:
    assert progress_of(job) == expected


@pytest.mark.parametrize(
    ("kept", "passes"),
    [
        (Kept(0, 0, 0), True),
        (Kept(MOST_ACTIVE_OF_ONE - 1, MOST_KEPT_OF_ONE - 1, MOST_KEPT - 1), True),
        (Kept(MOST_ACTIVE_OF_ONE, 0, 0), False),
        (Kept(0, MOST_KEPT_OF_ONE, 0), False),
        (Kept(0, 0, MOST_KEPT), False),
    ],
)
def test_there_is_room_up_to_each_limit(kept: Kept, passes: bool) -> None:
    if passes:
        check_room(kept)
    else:
        with pytest.raises(Conflict) as caught:
            check_room(kept)
        assert caught.value.code == "too_many_exports"


@pytest.mark.parametrize(
    ("rows", "size", "passes"), [(10, 100, True), (11, 100, False), (10, 101, False), (0, 0, True)]
)
def test_a_job_may_reach_its_limits_and_not_pass_them(rows: int, size: int, passes: bool) -> None:
    if passes:
        check_size(POLICY, rows=rows, size=size)
    else:
        with pytest.raises(ExportTooLarge, match="at most"):
            check_size(POLICY, rows=rows, size=size)


@pytest.mark.parametrize(("used", "left"), [(0, 60), (59, 1), (60, 0), (600, 0)])
def test_time_counts_over_all_attempts(used: int, left: float) -> None:
    assert seconds_left(POLICY, JOB, NOW + timedelta(seconds=used)) == left
    assert seconds_left(POLICY, replace(JOB, started_at=None), NOW) == 60


@pytest.mark.parametrize(
    ("job", "has_file", "is_resumable", "expected"),
    [
        (JOB, True, True, True),
        (JOB, False, True, False),
        (JOB, True, False, False),
        (replace(JOB, position=0), True, True, False),
        (replace(JOB, ends=None), True, True, False),
    ],
)
def test_an_attempt_goes_on_only_behind_a_checkpoint_that_is_there(
    job: ExportJob, has_file: bool, is_resumable: bool, expected: bool
) -> None:
    assert resumes_at(job, has_file=has_file, is_resumable=is_resumable) is expected


@pytest.mark.parametrize(
    ("export_format", "compression", "ending", "media_type"),
    [
        ("csv", "none", ".csv", "text/csv; charset=utf-8"),
        ("jsonl", "none", ".jsonl", "application/jsonl"),
        ("ocsf", "gzip", ".ocsf.jsonl.gz", "application/gzip"),
        ("csv", "zstd", ".csv.zst", "application/zstd"),
        ("parquet", "zstd", ".parquet", "application/vnd.apache.parquet"),
    ],
)
def test_a_file_is_called_what_it_is(export_format: str, compression: str, ending: str, media_type: str) -> None:
    name, found = media_of(replace(JOB, format=export_format, compression=compression))
    assert name == f"reeve-audit-{JOB.id}{ending}"
    assert found == media_type
