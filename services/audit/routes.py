"""Reads over HTTP, for the gateway only: each answers the body of the public API, which is streamed on unchanged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.database.engine import Session
from libs.common.errors import NotFound, Unavailable
from libs.common.events.envelope import rfc3339
from libs.common.identity import Caller
from libs.common.web.body import StrictRoute
from libs.common.web.caller import asserted
from libs.common.web.paging import (
    CursorKey,
    Page,
    counted,
    decode_cursor,
    encode_cursor,
    listing,
    requested_page,
)
from services.audit.schemas import RangeQuery, SearchQuery, entry_body
from services.audit.store import search as store
from services.audit.store import stats
from services.audit.store.search import Place

RESOURCE = "audit_logs"
DEFAULT_DAYS = 30
MOST_FACETS = 1_000

router = APIRouter(prefix="/internal/audit", route_class=StrictRoute)
Reader = Annotated[Caller, Depends(asserted("audit:read", audience="audit"))]


@router.get("/logs")
async def search_logs(request: Request, reader: Reader, query: Annotated[SearchQuery, Query()]) -> Response:
    """A page of entries in the order of time."""
    page = await requested_page(query.limit, query.skip, query.cursor)
    key: CursorKey = request.app.state.cursor_key
    after = _place(key, query)
    filters = query.filters()
    async with _searching(request) as session:
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
    next_cursor = _cursor(key, query, shown[-1]) if len(rows) > page.limit else None
    bodies = [entry_body(row) for row in shown]
    return _json(listing("logs", bodies, total=total, exact=exact, page=page, next_cursor=next_cursor))


@router.get("/logs/{entry_id}")
async def view_log(request: Request, reader: Reader, entry_id: UUID) -> Response:
    """One entry."""
    async with _searching(request) as session:
        row = await store.find(session, entry_id)
    if row is None:
        raise NotFound(f"no audit entry {entry_id}", code="audit_log_not_found")
    return _json(entry_body(row))


@router.get("/stats")
async def view_stats(request: Request, reader: Reader, query: Annotated[RangeQuery, Query()]) -> Response:
    """Counts for a range; unless told otherwise, of today and the 29 days before it, in UTC."""
    until = query.date_to or datetime.combine(datetime.now(UTC).date(), time.min, UTC) + timedelta(days=1)
    since = query.date_from or _before(until, DEFAULT_DAYS)
    async with _searching(request) as session:
        found = await stats.counts(session, since=since, until=until)
    return _json({
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
    async with _searching(request) as session:
        values = await stats.facet_values(session, kind, most=MOST_FACETS)
        total, exact = counted(await stats.count_facets(session, kind))
    return _json(listing(plural, values, total=total, exact=exact, page=Page(limit=MOST_FACETS), next_cursor=None))


def _place(key: CursorKey, query: SearchQuery) -> Place | None:
    if query.cursor is None:
        return None
    moment, sequence = decode_cursor(key, query.cursor, resource=RESOURCE, filters=query.named(), sort=query.sort)
    return Place(datetime.fromisoformat(str(moment)), int(sequence or 0))


def _cursor(key: CursorKey, query: SearchQuery, last: asyncpg.Record) -> str:
    position = [last["created_at"].isoformat(), last["sequence"]]
    return encode_cursor(key, position, resource=RESOURCE, filters=query.named(), sort=query.sort)


def _before(moment: datetime, days: int) -> datetime:
    try:
        return moment - timedelta(days=days)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


@asynccontextmanager
async def _searching(request: Request) -> AsyncIterator[Session]:
    """A reading session of the pool for searches; a statement that takes too long is 503 `search_too_costly`."""
    async with request.app.state.search_database.reading() as session:
        try:
            yield session
        except (TimeoutError, asyncpg.QueryCanceledError) as error:
            raise Unavailable(
                "the search takes too long; narrow it by date_from and date_to, or by another filter",
                code="search_too_costly",
                retry_after_seconds=5,
            ) from error


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
