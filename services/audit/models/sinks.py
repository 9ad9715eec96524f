"""A sink: where entries stream to, how far it has come, and what its attempts say of it. Pure."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from uuid import UUID

FAILING_SECONDS = 300.0
"""How long attempts may fail before people are told."""
FIRST_PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 300.0
MOST_RETRY_AFTER_SECONDS = 3600.0
MOST_ERROR = 300

State = Literal["ok", "retrying", "failing", "disabled"]


@dataclass(frozen=True, slots=True)
class Sink:
    """One sink as it is kept. `cursor` is the first sequence that was not sent yet."""

    id: UUID
    name: str
    target: Mapping[str, Any]
    format: str
    filters: Mapping[str, Any]
    secret: bytes | None = field(repr=False)
    is_enabled: bool
    version: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    cursor: int
    batch_ends: int | None
    """Behind the batch that was begun and not confirmed: trying again sends the same one."""
    sent: int
    failures: int
    failing_since: datetime | None
    is_reported: bool
    """Whether it was told that this sink fails."""
    next_try_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    last_synced_at: datetime | None
    asked_test: UUID | None
    ended_test: UUID | None
    test_error: str | None
    tested_at: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """An entry that could be sent: where it is, and about how many bytes it has."""

    sequence: int
    size: int
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One entry on its way: what a frame says of it, and its JSON on one line."""

    sequence: int
    id: str
    action: str
    severity: str
    created_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What one attempt sends, in order. `id` is the same for the same entries, however often they are tried."""

    id: str
    first: int
    ends: int
    entries: tuple[Outgoing, ...]
    is_test: bool = False


class SendFailed(Exception):
    """The receiver did not confirm. The message has no secret in it and is shown to administrators."""

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        is_gone: bool = False,
        needs_person: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.is_gone = is_gone
        """The receiver wants nothing more, ever."""
        self.needs_person = needs_person
        """Trying again will not help before somebody changed something, here or there."""


def state_of(sink: Sink, now: datetime) -> State:
    """How a sink does."""
    if not sink.is_enabled:
        return "disabled"
    if sink.failing_since is None:
        return "ok"
    return "failing" if sink.is_reported or has_failed_for_long(sink, now) else "retrying"


def has_failed_for_long(sink: Sink, now: datetime) -> bool:
    """Whether it has failed for so long that people are told."""
    return sink.failing_since is not None and now - sink.failing_since >= timedelta(seconds=FAILING_SECONDS)


def has_test(sink: Sink) -> bool:
    """Whether somebody waits for a test."""
    return sink.asked_test is not None and sink.asked_test != sink.ended_test


def is_due(sink: Sink, *, end: int, now: datetime) -> bool:
    """Whether there is something to do for a sink, with a log that ends before place `end`."""
    if has_test(sink):
        return True
    return sink.is_enabled and sink.cursor < end and (sink.next_try_at is None or sink.next_try_at <= now)


def pause_seconds(failures: int, *, retry_after_seconds: float | None) -> float:
    """How long to wait after failure number `failures` (from 1): doubling to five minutes, times a random 0.5 to 1.

    What a receiver asks for (`Retry-After`) is the least, up to an hour.
    """
    doubled = min(MOST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10))
    pause = doubled * random.uniform(0.5, 1.0)  # noqa: S311
    return max(float(pause), min(retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS))


def seconds_of(retry_after: str | None, *, now: float) -> float | None:
    """What `Retry-After` says, in seconds from `now` (since 1970) or as a date (RFC 9110, 10.2.3); None for anything else."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now)


def ends_of(places: Sequence[Place], *, stop: int, most_entries: int, most_bytes: int) -> int:
    """Where a batch ends that takes the first of `places` (at most `most_entries` were looked for, before `stop`).

    It takes one entry at the least, and none once there are `most_bytes`.
    """
    size = 0
    for place in places:
        size += place.size
        if size >= most_bytes:
            return place.sequence + 1
    return stop if len(places) < most_entries else places[-1].sequence + 1


def rests_until(
    places: Sequence[Place], *, ends: int, end: int, batch_seconds: float, now: datetime
) -> datetime | None:
    """Until when a batch that could still grow waits for more; None for one that is to be sent now.

    One grows while it reaches to the log's end (`ends` is `end`), until its first entry is `batch_seconds` old.
    """
    if not places or ends < end or places[0].created_at is None:
        return None
    until = min(places[0].created_at, now) + timedelta(seconds=batch_seconds)
    return until if until > now else None


def batch_id(sink: Sink, *, first: int, ends: int) -> str:
    """Names these entries to this receiver. A sink that was changed may send others for the same places."""
    return f"{sink.id.hex}_{sink.version}_{first}_{ends}"


def destination_of(target: Mapping[str, Any]) -> str:
    """What a sink's secret is bound to: whoever is reached there may know it, and nobody else."""
    if target["kind"] == "https":
        return str(target["url"])
    if target["kind"] == "s3":
        # None of these has a blank in it, so no two destinations read alike.
        return f"s3 {target['endpoint']} {target['bucket']} {target['access_key_id']}"
    return f"{target['host']}:{target['port']}"


def error_text(error: BaseException) -> str:
    """What went wrong, in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text)[:MOST_ERROR]
