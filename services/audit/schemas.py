"""What may be asked of the log, and how an entry is answered."""

import re
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Address, ip_network
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from libs.common.errors import Invalid
from libs.common.events.envelope import MalformedEvent, rfc3339
from libs.common.web.paging import MOST_LIMIT
from services.audit.models.gaps import Gap
from services.audit.models.sinks import Sink, has_test, state_of
from services.audit.models.words import query_of
from services.audit.store.quarantine import Quarantined
from services.audit.store.redactions import Redaction
from services.audit.store.retention import Run
from services.audit.store.saved_searches import SavedSearch
from services.audit.store.search import CLOSED, EXACT, Addresses, Filters

MOST_ERRORS = 50

Outcome = Literal["success", "denied", "failure"]
Severity = Literal["info", "warning", "error", "critical"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[Tt ].+)?")


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError("must be an address or a CIDR network, such as 192.0.2.7 or 192.0.2.0/24") from None


def _dated(text: Any) -> Any:
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        raise ValueError("must be an RFC 3339 time, such as 2026-01-31T12:00:00Z, or a date")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("must lie within the years 1 to 9999 in UTC") from None


Text = Annotated[str, Field(min_length=1, max_length=255)]
Texts = Annotated[list[Text], Field(max_length=50)]
Network = Annotated[str, Field(max_length=64), AfterValidator(_network)]
Moment = Annotated[datetime, BeforeValidator(_dated), AfterValidator(_in_utc)]


class RangeQuery(BaseModel):
    """A range of time: from (inclusive) and to (exclusive)."""

    model_config = ConfigDict(extra="forbid")

    date_from: Moment | None = None
    date_to: Moment | None = None


class FilterQuery(RangeQuery):
    """What is sought; several values of one filter mean any of them."""

    action: Texts = []
    target_type: Texts = []
    target_id: Texts = []
    admin_user_id: Texts = []
    outcome: Annotated[list[Outcome], Field(max_length=50)] = []
    severity: Annotated[list[Severity], Field(max_length=50)] = []
    ip_address: Annotated[list[Network], Field(max_length=20)] = []
    source: Texts = []
    request_id: Texts = []
    operation_id: Texts = []
    q: Annotated[str, Field(max_length=200)] = ""

    def filters(self) -> Filters:
        """What is sought, for the store."""
        return Filters(
            exact={name: wanted for name in (*EXACT, *CLOSED) if (wanted := getattr(self, name))},
            networks=[_addresses(network) for network in self.ip_address],
            date_from=self.date_from,
            date_to=self.date_to,
            groups=query_of(self.q) if self.q.strip() else None,
        )

    def named(self) -> dict[str, Any]:
        """The filters by name, as JSON: what a cursor is bound to, and what is kept of a search."""
        return self.model_dump(mode="json", exclude={"limit", "skip", "cursor", "sort"}, exclude_defaults=True)


class SearchQuery(FilterQuery):
    """Filters, their order, and which part of what they find."""

    sort: Literal["created_at", "-created_at"] = "-created_at"
    limit: Annotated[int, Field(ge=1, le=MOST_LIMIT)] = 50
    skip: Annotated[int, Field(ge=0)] = 0
    cursor: Annotated[str | None, Field(max_length=2048)] = None


class HistoryQuery(BaseModel):
    """Which part of one target's history."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MOST_LIMIT)] = 50
    skip: Annotated[int, Field(ge=0)] = 0
    cursor: Annotated[str | None, Field(max_length=2048)] = None

    def of(self, target_type: str, target_id: str) -> SearchQuery:
        """The search for it: these entries alone, oldest first."""
        return SearchQuery(
            target_type=[target_type], target_id=[target_id], sort="created_at", **self.model_dump(exclude_none=True)
        )


def filters_of(given: Mapping[str, Any], *, below: Sequence[str]) -> FilterQuery:
    """The filters of a JSON object, in which a single value may stand for a list of one.

    Raises `Invalid` that names each wrong filter, the place below `below`, and the values it may have.
    """
    lists = FilterQuery.model_fields.keys() - {"date_from", "date_to", "q"}
    listed = {name: [value] if name in lists and isinstance(value, str) else value for name, value in given.items()}
    try:
        return FilterQuery.model_validate(listed)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[:MOST_ERRORS]
        errors = [{"loc": [*below, *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in found]
        place = ".".join(str(part) for part in errors[0]["loc"])
        raise Invalid(f"{place}: {errors[0]['msg']}", code="validation_error", errors=errors) from None


def entry_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as the API answers it, ready for orjson; stored JSON goes through as it is."""
    body = dict(row)
    body["details"] = orjson.Fragment(row["details"])
    body["changes"] = orjson.Fragment(row["changes"]) if row["changes"] is not None else None
    body["redactions"] = orjson.Fragment(row["redactions"]) if row["redactions"] is not None else None
    body["created_at"] = rfc3339(row["created_at"])
    body["recorded_at"] = rfc3339(row["recorded_at"])
    return body


def saved_search_body(saved: SavedSearch, *, reader_id: str) -> dict[str, Any]:
    """A saved search as the API answers it."""
    return {
        "id": str(saved.id),
        "name": saved.name,
        "filters": saved.filters,
        "is_shared": saved.is_shared,
        "is_own": saved.owner_id == reader_id,
        "created_by": saved.owner_id,
        "created_by_name": saved.owner_name,
        "created_at": rfc3339(saved.created_at),
    }


def redaction_body(job: Redaction) -> dict[str, Any]:
    """A redaction as the API answers it. `progress` is the share of the log that was looked through."""
    return {
        "id": str(job.id),
        "subject_type": job.subject_type,
        "subject_id": job.subject_id,
        "reason": job.reason,
        "state": job.state,
        "held_by": list(job.held_by),
        "progress": 1.0 if job.state == "succeeded" or not job.ends else min(1.0, job.position / job.ends),
        "entries": job.entries,
        "exports_withdrawn": job.exports,
        "requested_by": job.requested_by,
        "operation_id": job.operation_id,
        "created_at": rfc3339(job.created_at),
        "finished_at": rfc3339(job.finished_at) if job.finished_at else None,
    }


def quarantined_body(kept: Quarantined) -> dict[str, Any]:
    """An event that did not fit its schema, as the API answers it, without what it says."""
    return {
        "id": str(kept.id),
        "event_type": kept.event_type,
        "source": kept.source,
        "sender": kept.sender or kept.producer or None,
        "reason": kept.reason.partition(":")[0],
        "message": kept.reason.partition(": ")[2],
        "state": "waiting" if kept.replayed_at is None else "replayed",
        "first_seen_at": rfc3339(kept.received_at),
        "last_seen_at": rfc3339(kept.last_seen_at),
        "sightings": kept.sightings,
        "replays": kept.replays,
        "last_error": kept.last_reason,
        "replayed_at": rfc3339(kept.replayed_at) if kept.replayed_at else None,
        "entry_sequence": kept.entry_sequence,
    }


def quarantined_whole(kept: Quarantined) -> dict[str, Any]:
    """The same with its bytes, and the event that they are where they can be read."""
    try:
        [event] = kept.events()
        said = {"id": event.id, "time": rfc3339(event.time), "subject": event.subject, "data": event.data}
    except (MalformedEvent, ValueError):
        said = None
    raw = b2a_base64(kept.body, newline=False).decode()
    return {**quarantined_body(kept), "content_type": kept.content_type, "body": raw, "event": said}


def gap_body(gap: Gap) -> dict[str, Any]:
    """A gap in the numbers of a service as the API answers it."""
    return {
        "id": str(gap.id),
        "producer": gap.producer,
        "first": gap.first,
        "last": gap.last,
        "since": rfc3339(gap.since),
        "detected_at": rfc3339(gap.told_at),
        "state": "open" if gap.closed_at is None else "closed",
        "closed_at": rfc3339(gap.closed_at) if gap.closed_at else None,
        "how": gap.how,
    }


def run_body(run: Run) -> dict[str, Any]:
    """A run of the retention as the API answers it."""
    return {
        "id": str(run.id),
        "state": run.state,
        "asked_by": run.asked_by,
        "archived": run.archived,
        "pruned": run.pruned,
        "error": run.error,
        "created_at": rfc3339(run.created_at),
        "finished_at": rfc3339(run.finished_at) if run.finished_at is not None else None,
    }


def sink_body(sink: Sink, *, end: int, now: datetime) -> dict[str, Any]:
    """A sink as the API answers it, with a log that ends before place `end`; of its secret only that there is one."""
    return {
        "id": str(sink.id),
        "name": sink.name,
        "target": sink.target,
        "format": sink.format,
        "filters": sink.filters,
        "has_secret": sink.secret is not None,
        "is_enabled": sink.is_enabled,
        "state": state_of(sink, now),
        "cursor": sink.cursor,
        "backlog": max(0, end - sink.cursor),
        "sent": sink.sent,
        "failures": sink.failures,
        "last_error": sink.last_error,
        "last_error_at": _moment(sink.last_error_at),
        "last_synced_at": _moment(sink.last_synced_at),
        "next_try_at": _moment(sink.next_try_at),
        "last_test": _test(sink),
        "version": sink.version,
        "created_by": sink.created_by,
        "created_at": rfc3339(sink.created_at),
        "updated_at": rfc3339(sink.updated_at),
    }


def _test(sink: Sink) -> dict[str, Any] | None:
    if sink.asked_test is None:
        return None
    if has_test(sink):
        return {"id": str(sink.asked_test), "state": "waiting", "error": None, "tested_at": None}
    state = "failed" if sink.test_error else "passed"
    return {
        "id": str(sink.asked_test), "state": state, "error": sink.test_error, "tested_at": _moment(sink.tested_at),
    }  # fmt: skip


def _moment(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None


def _addresses(network: str) -> Addresses:
    """The first and last address of a network, where an IPv4 network mapped into IPv6 is an IPv4 network."""
    found = ip_network(network)
    if isinstance(found, IPv4Network):
        return found.network_address, found.broadcast_address
    first, last = found.network_address, found.broadcast_address
    if first.ipv4_mapped is not None and last.ipv4_mapped is not None:
        return first.ipv4_mapped, last.ipv4_mapped
    # A zone names an interface of one machine; no stored address has one.
    return IPv6Address(int(first)), IPv6Address(int(last))
