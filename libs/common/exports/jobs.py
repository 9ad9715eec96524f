"""Decisions about jobs, and how one is told: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from libs.common.database.exports import ExportJob, Kept
from libs.common.errors import Conflict, Invalid, NotFound, ReeveError
from libs.common.events.envelope import rfc3339

MOST_ACTIVE_OF_ONE = 3
MOST_KEPT_OF_ONE = 20
MOST_KEPT = 100
MOST_ATTEMPTS = 5
FORGOTTEN_DAYS = 90


class ExportTooLarge(ReeveError):
    """The export is over a limit; what was written of it is gone."""

    status = 422
    default_code = "export_too_large"


@dataclass(frozen=True, slots=True)
class Policy:
    """What one job may take."""

    most_rows: int
    most_bytes: int
    most_seconds: float
    kept_hours: float


def check_room(kept: Kept) -> None:
    """Raise 409 `too_many_exports` when another job would be one too many."""
    if kept.active_of_one >= MOST_ACTIVE_OF_ONE:
        raise _too_many(f"{MOST_ACTIVE_OF_ONE} of your exports wait or run already; wait for one, or cancel it")
    if kept.kept_of_one >= MOST_KEPT_OF_ONE:
        raise _too_many(f"you have {MOST_KEPT_OF_ONE} exports; delete one that you need no more")
    if kept.kept >= MOST_KEPT:
        raise _too_many(f"the platform keeps at most {MOST_KEPT} exports; the oldest expire by themselves")


def check_size(policy: Policy, *, rows: int, size: int) -> None:
    """Raise `ExportTooLarge` for a job that has outgrown what it may take."""
    if rows > policy.most_rows:
        raise ExportTooLarge(f"an export may have at most {policy.most_rows} rows; narrow it by its filters")
    if size > policy.most_bytes:
        raise ExportTooLarge(f"an export's file may have at most {policy.most_bytes} bytes; narrow it, or compress it")


def seconds_left(policy: Policy, job: ExportJob, now: datetime) -> float:
    """How long a job that was begun may go on, over all its attempts; 0 at the least."""
    used = (now - job.started_at).total_seconds() if job.started_at else 0.0
    return max(0.0, policy.most_seconds - used)


def resumes_at(job: ExportJob, *, has_file: bool, is_resumable: bool) -> bool:
    """Whether this attempt goes on where an earlier one had its last checkpoint; else it starts anew."""
    return is_resumable and has_file and job.ends is not None and job.position > 0


def progress_of(job: ExportJob) -> float:
    """How much is done, from 0 to 1; 1 only for what has succeeded."""
    if job.manifest is not None:
        return 1.0
    return min(0.99, job.position / job.ends) if job.ends else 0.0


def not_found(export_id: str) -> NotFound:
    """There is no such job, or it is another administrator's: nobody is told which."""
    return NotFound(f"no export {export_id[:64]}", code="export_not_found")


def unknown_source(source: str) -> Invalid:
    """Nothing of this name can be exported here."""
    return Invalid(f"source {source[:64]} cannot be exported", code="unknown_source")


def body_of(job: ExportJob) -> dict[str, Any]:
    """A job as the API answers it."""
    return {
        "id": str(job.id),
        "source": job.source,
        "format": job.format,
        "compression": job.compression,
        **job.options,
        "filters": job.filters,
        "state": job.state,
        "progress": round(progress_of(job), 4),
        "rows": job.rows,
        "bytes": job.bytes,
        "created_by": job.owner_id,
        "created_at": rfc3339(job.created_at),
        "started_at": _moment(job.started_at),
        "finished_at": _moment(job.finished_at),
        "expires_at": _moment(job.expires_at),
        "error": job.error,
        "manifest": _parsed(job.manifest),
        "manifest_jws": job.signature,
    }


def _too_many(message: str) -> Conflict:
    return Conflict(message, code="too_many_exports")


def _moment(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None


def _parsed(text: str | None) -> Mapping[str, Any] | None:
    return orjson.loads(text) if text is not None else None
