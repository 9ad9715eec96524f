"""Gaps in the numbers of services over HTTP: what the log lacks, or lacked."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from libs.common.web.body import StrictRoute
from libs.common.web.paging import CursorKey, PageQuery, counted, decode_cursor, encode_cursor, listing
from services.audit.routes.asking import Reader, json_answer, searching
from services.audit.schemas import gap_body
from services.audit.store import gaps as store

RESOURCE = "audit_gaps"

router = APIRouter(prefix="/internal/audit/gaps", route_class=StrictRoute)


class GapQuery(PageQuery):
    """Which of them, and which part of these."""

    state: Literal["open", "closed"] | None = None


@router.get("")
async def list_gaps(request: Request, reader: Reader, query: Annotated[GapQuery, Query()]) -> Response:
    """The newest first."""
    page, key = query.page(), request.app.state.cursor_key
    assert isinstance(key, CursorKey)
    is_open = None if query.state is None else query.state == "open"
    bound: dict[str, Any] = {"resource": RESOURCE, "filters": {"state": query.state}, "subject": reader.actor.id}
    before = UUID(str(decode_cursor(key, page.cursor, **bound)[0])) if page.cursor is not None else None
    async with searching(request) as session:
        rows = await store.search(session, is_open=is_open, before=before, skip=page.skip, limit=page.limit + 1)
        total, exact = counted(await store.count(session, is_open=is_open))
    shown = rows[: page.limit]
    next_cursor = encode_cursor(key, [str(shown[-1].id)], **bound) if len(rows) > page.limit else None
    bodies = [gap_body(row) for row in shown]
    return json_answer(listing("gaps", bodies, total=total, exact=exact, page=page, next_cursor=next_cursor))
