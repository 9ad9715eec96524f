"""Searches that administrators keep, over HTTP: one's own, and those that others share."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from libs.common.web.body import StrictRoute
from libs.common.web.paging import (
    MOST_COUNT,
    CursorKey,
    PageQuery,
    counted,
    decode_cursor,
    encode_cursor,
    listing,
)
from services.audit.commands.saved_searches import saved_search_not_found
from services.audit.routes.asking import Reader, json_answer, searching
from services.audit.schemas import saved_search_body
from services.audit.store import saved_searches as store

RESOURCE = "saved_searches"

router = APIRouter(prefix="/internal/audit/saved-searches", route_class=StrictRoute)


@router.get("")
async def list_saved_searches(request: Request, reader: Reader, query: Annotated[PageQuery, Query()]) -> Response:
    """The newest first."""
    page, reader_id = query.page(), reader.actor.id
    key: CursorKey = request.app.state.cursor_key
    bound: dict[str, Any] = {"resource": RESOURCE, "filters": {}, "subject": reader_id}
    before = UUID(str(decode_cursor(key, page.cursor, **bound)[0])) if page.cursor is not None else None
    async with searching(request) as session:
        rows = await store.search(session, reader_id=reader_id, before=before, skip=page.skip, limit=page.limit + 1)
        total, exact = counted(await store.count_visible(session, reader_id=reader_id, most=MOST_COUNT + 1))
    shown = rows[: page.limit]
    next_cursor = encode_cursor(key, [str(shown[-1].id)], **bound) if len(rows) > page.limit else None
    bodies = [saved_search_body(row, reader_id=reader_id) for row in shown]
    return json_answer(listing("saved_searches", bodies, total=total, exact=exact, page=page, next_cursor=next_cursor))


@router.get("/{search_id}")
async def view_saved_search(request: Request, reader: Reader, search_id: UUID) -> Response:
    """One of them."""
    async with searching(request) as session:
        found = await store.find(session, search_id, reader_id=reader.actor.id)
    if found is None:
        raise saved_search_not_found(str(search_id))
    return json_answer(saved_search_body(found, reader_id=reader.actor.id))
