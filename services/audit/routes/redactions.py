"""Redactions over HTTP: those that were asked for, and what another one would touch."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.errors import NotFound
from libs.common.events.redactions import SubjectId, SubjectType
from libs.common.identity import Caller
from libs.common.web.body import StrictRoute
from libs.common.web.caller import asserted
from libs.common.web.paging import CursorKey, PageQuery, counted, decode_cursor, encode_cursor, listing
from services.audit.models.redactions import Subject
from services.audit.routes.asking import Reader, json_answer, searching
from services.audit.schemas import redaction_body
from services.audit.store import holds
from services.audit.store import redactions as store

RESOURCE = "redactions"

router = APIRouter(prefix="/internal/audit/redactions", route_class=StrictRoute)
Redactor = Annotated[Caller, Depends(asserted("roles:write", audience="audit"))]


@router.get("")
async def list_redactions(request: Request, reader: Reader, query: Annotated[PageQuery, Query()]) -> Response:
    """The newest first."""
    page, key = query.page(), request.app.state.cursor_key
    assert isinstance(key, CursorKey)
    bound: dict[str, Any] = {"resource": RESOURCE, "filters": {}, "subject": reader.actor.id}
    before = UUID(str(decode_cursor(key, page.cursor, **bound)[0])) if page.cursor is not None else None
    async with searching(request) as session:
        rows = await store.search(session, before=before, skip=page.skip, limit=page.limit + 1)
        total, exact = counted(await store.count(session))
    shown = rows[: page.limit]
    next_cursor = encode_cursor(key, [str(shown[-1].id)], **bound) if len(rows) > page.limit else None
    bodies = [redaction_body(row) for row in shown]
    return json_answer(listing("redactions", bodies, total=total, exact=exact, page=page, next_cursor=next_cursor))


@router.get("/preview")
async def preview_redaction(
    request: Request,
    redactor: Redactor,
    subject_type: Annotated[SubjectType, Query()],
    subject_id: Annotated[SubjectId, Query()],
) -> Response:
    """How many entries tell of the subject, redacted or not, and what is in the way; nothing is changed."""
    subject = Subject(subject_type, subject_id)
    async with searching(request) as session:
        entries, exact = counted(await store.concerned(session, subject))
        held_by = await holds.blocked_by(session, subject)
    return json_answer({
        "dry_run": True, "subject_type": subject_type, "subject_id": subject_id, "entries": entries,
        "entries_are_exact": exact, "held_by": list(held_by),
    })  # fmt: skip


@router.get("/{redaction_id}")
async def view_redaction(request: Request, reader: Reader, redaction_id: UUID) -> Response:
    """One redaction and how far it is."""
    async with searching(request) as session:
        job = await store.find(session, redaction_id)
    if job is None:
        raise NotFound(f"no redaction {redaction_id}", code="redaction_not_found")
    return json_answer(redaction_body(job))
