"""The quarantine over HTTP: what did not fit the schema of its type, and why."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from libs.common.web.body import StrictRoute
from libs.common.web.paging import CursorKey, PageQuery, counted, decode_cursor, encode_cursor, listing
from services.audit.commands.quarantine import quarantined_not_found
from services.audit.routes.asking import Reader, json_answer, searching
from services.audit.schemas import Text, quarantined_body, quarantined_whole
from services.audit.store import quarantine as store
from services.audit.store.quarantine import Sought

RESOURCE = "quarantine"

router = APIRouter(prefix="/internal/audit/quarantine", route_class=StrictRoute)


class QuarantineQuery(PageQuery):
    """Which of them, and which part of these."""

    type: Annotated[Text | None, Field()] = None
    reason: Literal["unknown_event_type", "invalid_event"] | None = None
    source: Text | None = None
    state: Literal["waiting", "replayed"] | None = None

    def sought(self) -> Sought:
        """What is sought, for the store."""
        waiting = None if self.state is None else self.state == "waiting"
        return Sought(event_type=self.type, kind=self.reason, source=self.source, is_waiting=waiting)


@router.get("")
async def list_quarantine(request: Request, reader: Reader, query: Annotated[QuarantineQuery, Query()]) -> Response:
    """The newest first."""
    page, key = query.page(), request.app.state.cursor_key
    assert isinstance(key, CursorKey)
    filters = query.model_dump(mode="json", include={"type", "reason", "source", "state"}, exclude_none=True)
    bound: dict[str, Any] = {"resource": RESOURCE, "filters": filters, "subject": reader.actor.id}
    before = UUID(str(decode_cursor(key, page.cursor, **bound)[0])) if page.cursor is not None else None
    async with searching(request) as session:
        rows = await store.search(session, query.sought(), before=before, skip=page.skip, limit=page.limit + 1)
        total, exact = counted(await store.count(session, query.sought()))
    shown = rows[: page.limit]
    next_cursor = encode_cursor(key, [str(shown[-1].id)], **bound) if len(rows) > page.limit else None
    bodies = [quarantined_body(row) for row in shown]
    return json_answer(listing("quarantine", bodies, total=total, exact=exact, page=page, next_cursor=next_cursor))


@router.get("/{quarantine_id}")
async def view_quarantined(request: Request, reader: Reader, quarantine_id: UUID) -> Response:
    """One event with what it says, and its bytes."""
    async with searching(request) as session:
        found = await store.find(session, quarantine_id)
    if found is None:
        raise quarantined_not_found(str(quarantine_id))
    return json_answer(quarantined_whole(found))
