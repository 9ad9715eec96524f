"""Alerts: raised or repeated by fingerprint, listed, counted and resolved."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.broker.topology import NOTIFICATIONS_COMMANDS
from libs.common.events.catalog import CommandData
from libs.common.events.notifications import RaiseAlert, ResolveAlert
from libs.common.identity import Caller
from libs.common.ids import new_id
from libs.common.web.query import query_of
from services.gateway.access.guard import requires
from services.gateway.features.alerts.schemas import (
    AlertDetailResponse,
    AlertResponse,
    AlertsResponse,
    AlertStatsResponse,
    ListAlertsQuery,
    RaiseAlertRequest,
    ResolveAlertRequest,
)
from services.gateway.features.answers import run_command
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import answers, outcomes
from services.gateway.upstream.forward import forward

router = APIRouter(prefix="/alerts", tags=["alerts"], route_class=AdminRoute)

TARGET = "alert/{alert_id}"
SERVICE = "notifications"

MayList = Annotated[Caller, Depends(requires("alerts:read", action="list_alerts"))]
MayCount = Annotated[Caller, Depends(requires("alerts:read", action="view_alert_stats"))]
MayView = Annotated[Caller, Depends(requires("alerts:read", action="view_alert", target=TARGET))]
MayRaise = Annotated[Caller, Depends(requires("alerts:write", action="raise_alert"))]
MayResolve = Annotated[Caller, Depends(requires("alerts:write", action="resolve_alert", target=TARGET))]


@router.get("", responses=answers(AlertsResponse))
async def list_alerts(
    request: Request, caller: MayList, query: Annotated[ListAlertsQuery, Depends(query_of(ListAlertsQuery))]
) -> Response:
    """Newest first. The list member is `alerts`."""
    return await forward(request, caller, service=SERVICE, path="/internal/notifications/alerts")


@router.post("", status_code=201, responses=outcomes(AlertResponse, 200, 201))
async def raise_alert(request: Request, caller: MayRaise, body: RaiseAlertRequest) -> Response:
    """201 for a new alert; 200 and the same id when an unresolved one has this fingerprint."""
    command = RaiseAlert(**body.model_dump(), origin=caller.origin)
    subject = f"alert/{body.fingerprint}" if body.fingerprint else f"alert/{new_id()}"
    return await _run(request, caller, command, subject=subject)


@router.get("/stats", responses=answers(AlertStatsResponse))
async def view_alert_stats(request: Request, caller: MayCount) -> Response:
    """Total, active, critical, resolved today, and counts by type and severity."""
    return await forward(request, caller, service=SERVICE, path="/internal/notifications/alerts/stats")


@router.get("/{alert_id}", responses=answers(AlertDetailResponse))
async def view_alert(request: Request, caller: MayView, alert_id: UUID) -> Response:
    """One alert with its timeline."""
    return await forward(request, caller, service=SERVICE, path=f"/internal/notifications/alerts/{alert_id}")


@router.put("/{alert_id}/resolve", responses=outcomes(AlertResponse, 200))
async def resolve_alert(request: Request, caller: MayResolve, alert_id: UUID, body: ResolveAlertRequest) -> Response:
    """Dealt with. A second resolve is 409 `alert_resolved`."""
    command = ResolveAlert(alert_id=str(alert_id), resolution_notes=body.resolution_notes, origin=caller.origin)
    return await _run(request, caller, command, subject=f"alert/{alert_id}")


async def _run(request: Request, caller: Caller, command: CommandData, *, subject: str) -> Response:
    return await run_command(request, caller, command, subject=subject, queue=NOTIFICATIONS_COMMANDS)
