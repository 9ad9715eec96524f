"""The quarantine of the audit log: events that did not fit the schema of their type, kept until they are replayed."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.broker.topology import AUDIT_COMMANDS
from libs.common.events.quarantine import ReplayQuarantined
from libs.common.identity import Caller
from libs.common.web.query import query_of
from services.gateway.access.guard import requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.answers import run_command
from services.gateway.features.event_types.store import load_revision
from services.gateway.features.quarantine.schemas import (
    QuarantinedResponse,
    QuarantinedWholeResponse,
    QuarantineQuery,
    QuarantineResponse,
)
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import answers, outcomes
from services.gateway.upstream.forward import forward

PATH = "/internal/audit/quarantine"
TARGET = "quarantine/{quarantine_id}"

router = APIRouter(prefix="/audit/quarantine", tags=["audit"], route_class=AdminRoute)

MayList = Annotated[Caller, Depends(requires("audit:read", action="list_quarantine"))]
MayView = Annotated[Caller, Depends(requires("audit:read", action="view_quarantined", target=TARGET))]
MayReplay = Annotated[Caller, Depends(requires("dead_letters:write", action="replay_quarantined", target=TARGET))]


@router.get("", responses=answers(QuarantineResponse))
async def list_quarantine(
    request: Request, caller: MayList, query: Annotated[QuarantineQuery, Depends(query_of(QuarantineQuery))]
) -> Response:
    """Events that did not fit, newest first. The list member is `quarantine`."""
    return await forward(request, caller, service="audit", path=PATH)


@router.get("/{quarantine_id}", responses=answers(QuarantinedWholeResponse))
async def view_quarantined(request: Request, caller: MayView, quarantine_id: UUID) -> Response:
    """One of them with what it says, and its bytes."""
    return await forward(request, caller, service="audit", path=f"{PATH}/{quarantine_id}")


@router.post("/{quarantine_id}/replay", responses=outcomes(QuarantinedResponse, 200))
async def replay_quarantined(request: Request, caller: MayReplay, quarantine_id: UUID) -> Response:
    """Hold the event against its schema again, after an upgrade or when the schema of its type was mended; when it fits it
    becomes one entry of the log.

    It keeps the time at which it happened and its producer's number. Doing it again changes nothing. 409 `does_not_fit`
    with the reason when it still does not, and it stays.
    """
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        revision = await load_revision(session)
    command = ReplayQuarantined(quarantine_id=str(quarantine_id), catalogue_revision=revision, origin=caller.origin)
    subject = f"quarantine/{quarantine_id}"
    return await run_command(request, caller, command, subject=subject, queue=AUDIT_COMMANDS)
