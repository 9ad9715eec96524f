"""Reads over HTTP, for the gateway only: each answers the body of the public API, which is streamed on unchanged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.database.engine import Session
from libs.common.errors import Invalid, NotFound, Unavailable
from libs.common.identity import Caller
from libs.common.web.body import StrictRoute
from libs.common.web.caller import asserted
from libs.common.web.paging import MOST_SKIP, CursorKey, Page, counted, decode_cursor, encode_cursor, listing
from services.audit.schemas import RangeQuery, SearchQuery, entry_body
from services.audit.store import search as store
from services.audit.store.search import Filters, Place

RESOURCE = "audit_logs"
DEFAULT_DAYS = 30
STATS = ("action", "admin_user_id", "target_type", "outcome", "day")

router = APIRouter(prefix="/internal/audit", route_class=StrictRoute)
Reader = Annotated[Caller, Depends(asserted("audit:read", audience="audit"))]


@router.get("/logs")
async def search_logs(request: Request, reader: Reader, query: Annotated[SearchQuery, Query()]) -> Response:
    """A page of entries in the order of time."""
    if query.skip > MOST_SKIP:
        raise Invalid(f"skip must be at most {MOST_SKIP}, got {query.skip}; go on with next_cursor", code="use_cursor")
    if query.cursor is not None and query.skip:
        raise Invalid("skip and cursor cannot be combined", code="invalid_cursor")
    key: CursorKey = request.app.state.cursor_key
    filters = query.filters()
    after = None
    if query.cursor is not None:
        moment, sequence = decode_cursor(key, query.cursor, resource=RESOURCE, filters=query.named(), sort=query.sort)
        after = Place(datetime.fromisoformat(str(moment)), int(sequence or 0))
    async with _searching(request) as session:
        rows = await store.search(
            session,
            filters,
            newest_first=query.sort.startswith("-"),
            after=after,
            skip=query.skip,
            limit=query.limit + 1,
        )
        total, exact = counted(await store.count(session, filters))
    shown = rows[: query.limit]
    next_cursor = None
    if len(rows) > query.limit:
        last = shown[-1]
        next_cursor = encode_cursor(
            key,
            [last["created_at"].isoformat(), last["sequence"]],
            resource=RESOURCE,
            filters=query.named(),
            sort=query.sort,
        )
    page = Page(limit=query.limit, skip=query.skip)
    return _json(
        listing(
            "logs", [entry_body(row) for row in shown], total=total, exact=exact, page=page, next_cursor=next_cursor
        )
    )


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
    """Counts for a range, the last 30 days unless told otherwise."""
    until = query.date_to or datetime.now(UTC) + timedelta(seconds=1)
    since = query.date_from or until - timedelta(days=DEFAULT_DAYS)
    filters = Filters(date_from=since, date_to=until)
    found: dict[str, Any] = {"date_from": since, "date_to": until}
    async with _searching(request) as session:
        for column in STATS:
            rows = await store.counts(session, column, filters)
            found[f"by_{column}"] = {row["value"]: row["count"] for row in rows}
    found["total"] = sum(found["by_outcome"].values())
    return _json(found)


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
        values = await store.facet_values(session, kind)
    page = Page(limit=max(1, len(values)))
    return _json(listing(plural, values, total=len(values), exact=True, page=page, next_cursor=None))


@asynccontextmanager
async def _searching(request: Request) -> AsyncIterator[Session]:
    """A reading session of the pool for searches; a statement that takes too long is 503 `search_too_costly`."""
    try:
        async with request.app.state.search_database.reading() as session:
            yield session
    except (TimeoutError, asyncpg.QueryCanceledError) as error:
        raise Unavailable(
            "the search takes too long; narrow it by date_from and date_to, or by another filter",
            code="search_too_costly",
            retry_after_seconds=5,
        ) from error


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), media_type="application/json")
