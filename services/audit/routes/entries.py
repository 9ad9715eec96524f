"""The log over HTTP: searched, one entry, one target's history, counted."""

from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Path, Query, Request, Response

from libs.common.errors import NotFound
from libs.common.events.envelope import rfc3339
from libs.common.identity import Caller
from libs.common.web.body import StrictRoute
from libs.common.web.paging import (
    CursorKey,
    Page,
    Position,
    counted,
    decode_cursor,
    encode_cursor,
    listing,
    requested_page,
)
from services.audit.models.entries import MOST_TARGET_ID, MOST_TARGET_TYPE
from services.audit.models.witnesses import state_of
from services.audit.routes.asking import Reader, json_answer, searching
from services.audit.schemas import HistoryQuery, RangeQuery, SearchQuery, entry_body
from services.audit.store import checkpoints, cosignatures, stats
from services.audit.store import search as store
from services.audit.store.search import Place

RESOURCE = "audit_logs"
DEFAULT_DAYS = 30
MOST_FACETS = 1_000

router = APIRouter(prefix="/internal/audit", route_class=StrictRoute)
TargetType = Annotated[str, Path(min_length=1, max_length=MOST_TARGET_TYPE)]
TargetId = Annotated[str, Path(min_length=1, max_length=MOST_TARGET_ID)]


@router.get("/logs")
async def search_logs(request: Request, reader: Reader, query: Annotated[SearchQuery, Query()]) -> Response:
    """A page of entries in the order of time."""
    return await _page(request, reader, query, "logs")


@router.get("/logs/{entry_id}")
async def view_log(request: Request, reader: Reader, entry_id: UUID) -> Response:
    """One entry, which one tells that it was undone, and how far it is proven."""
    async with searching(request) as session:
        row = await store.find(session, entry_id)
        undone_by = await store.find_undoing(session, row) if row is not None else None
        signed = await checkpoints.newest(session)
        witnessed = await cosignatures.witnessed_size(session, request.app.state.quorum)
    if row is None:
        raise NotFound(f"no audit entry {entry_id}", code="audit_log_not_found")
    state = state_of(row["sequence"], signed=None if signed is None else signed.size, witnessed=witnessed)
    return json_answer({**entry_body(row), "undone_by": undone_by, "proof_state": state})


@router.get("/targets/{target_type}/{target_id:path}")
async def view_target(
    request: Request,
    reader: Reader,
    target_type: TargetType,
    target_id: TargetId,
    query: Annotated[HistoryQuery, Query()],
) -> Response:
    """Everything that was recorded of one thing, oldest first."""
    return await _page(request, reader, query.of(target_type, target_id), "history")


@router.get("/stats")
async def view_stats(request: Request, reader: Reader, query: Annotated[RangeQuery, Query()]) -> Response:
    """Counts for a range; unless told otherwise, of today and the 29 days before it, in UTC."""
    until = query.date_to or datetime.combine(datetime.now(UTC).date(), time.min, UTC) + timedelta(days=1)
    since = query.date_from or _before(until, DEFAULT_DAYS)
    async with searching(request) as session:
        found = await stats.counts(session, since=since, until=until)
    return json_answer({
        "date_from": rfc3339(since),
        "date_to": rfc3339(until),
        "total": sum(found["outcome"].values()),
        **{f"by_{column}": found[column] for column in stats.COUNTED},
    })  # fmt: skip


@router.get("/actions")
async def list_actions(request: Request, reader: Reader) -> Response:
    """The distinct actions."""
    return await _facets(request, "action", "actions")


@router.get("/target-types")
async def list_target_types(request: Request, reader: Reader) -> Response:
    """The distinct target types."""
    return await _facets(request, "target_type", "target_types")


async def _facets(request: Request, kind: str, plural: str) -> Response:
    async with searching(request) as session:
        values = await stats.facet_values(session, kind, most=MOST_FACETS)
        total, exact = counted(await stats.count_facets(session, kind))
    return json_answer(
        listing(plural, values, total=total, exact=exact, page=Page(limit=MOST_FACETS), next_cursor=None)
    )


async def _page(request: Request, reader: Caller, query: SearchQuery, plural: str) -> Response:
    """A page of entries in the order of time; its cursor holds for this reader, these filters and this order alone."""
    page = await requested_page(query.limit, query.skip, query.cursor)
    key: CursorKey = request.app.state.cursor_key
    bound: dict[str, Any] = {
        "resource": RESOURCE,
        "filters": query.named(),
        "sort": query.sort,
        "subject": reader.actor.id,
    }
    after = _place(decode_cursor(key, query.cursor, **bound)) if query.cursor is not None else None
    filters = query.filters()
    async with searching(request) as session:
        rows = await store.search(
            session,
            filters,
            newest_first=query.sort.startswith("-"),
            after=after,
            skip=page.skip,
            limit=page.limit + 1,
        )
        total, exact = counted(await store.count(session, filters))
    shown = rows[: page.limit]
    next_cursor = encode_cursor(key, _position(shown[-1]), **bound) if len(rows) > page.limit else None
    bodies = [entry_body(row) for row in shown]
    return json_answer(listing(plural, bodies, total=total, exact=exact, page=page, next_cursor=next_cursor))


def _position(last: asyncpg.Record) -> list[Position]:
    return [last["created_at"].isoformat(), last["sequence"]]


def _place(position: list[Position]) -> Place:
    moment, sequence = position
    return Place(datetime.fromisoformat(str(moment)), int(sequence or 0))


def _before(moment: datetime, days: int) -> datetime:
    try:
        return moment - timedelta(days=days)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
