"""Sinks over HTTP: what they are, and how they do."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.identity import Caller
from libs.common.web.body import StrictRoute
from libs.common.web.caller import asserted
from libs.common.web.paging import Page, listing
from services.audit.commands.sinks import MOST_SINKS, sink_not_found
from services.audit.routes.asking import json_answer, searching
from services.audit.schemas import sink_body
from services.audit.store import sinks as store

router = APIRouter(prefix="/internal/audit/sinks", route_class=StrictRoute)

Keeper = Annotated[Caller, Depends(asserted("roles:write", audience="audit"))]


@router.get("")
async def list_sinks(request: Request, keeper: Keeper) -> Response:
    """All of them, oldest first."""
    async with searching(request) as session:
        sinks, end = await store.list_all(session), await store.end_of_log(session)
    now = datetime.now(UTC)
    bodies = [sink_body(sink, end=end, now=now) for sink in sinks]
    return json_answer(
        listing("sinks", bodies, total=len(bodies), exact=True, page=Page(limit=MOST_SINKS), next_cursor=None)
    )


@router.get("/{sink_id}")
async def view_sink(request: Request, keeper: Keeper, sink_id: UUID) -> Response:
    """One of them, with its version as `ETag`."""
    async with searching(request) as session:
        sink, end = await store.find(session, sink_id), await store.end_of_log(session)
    if sink is None:
        raise sink_not_found(str(sink_id))
    answer = json_answer(sink_body(sink, end=end, now=datetime.now(UTC)))
    answer.headers["ETag"] = f'"{sink.version}"'
    return answer
