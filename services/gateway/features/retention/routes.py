"""How long audit entries are kept: the rules, legal holds, and runs by hand."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.broker.topology import AUDIT_COMMANDS
from libs.common.events.retention import LiftHold, PlaceHold, RunRetention, SetRetention
from libs.common.identity import Caller
from services.gateway.access.guard import FRESH_SECONDS, requires
from services.gateway.features.answers import run_command
from services.gateway.features.preconditions import expected_version
from services.gateway.features.retention.schemas import (
    LegalHoldResponse,
    LiftHoldRequest,
    PlaceHoldRequest,
    PutRetentionRequest,
    RetentionDryRunResponse,
    RetentionResponse,
    RetentionRulesResponse,
    RetentionRunResponse,
    RunRetentionRequest,
)
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import answers, outcomes
from services.gateway.upstream.forward import forward

SUBJECT = "audit_retention"
HOLD = "legal_hold/{hold_id}"

router = APIRouter(prefix="/audit/retention", tags=["audit"], route_class=AdminRoute)

MayView = Annotated[Caller, Depends(requires("audit:read", action="view_retention", target=SUBJECT))]
MayChange = Annotated[
    Caller, Depends(requires("roles:write", action="change_retention", target=SUBJECT, fresh_seconds=FRESH_SECONDS))
]
MayHold = Annotated[Caller, Depends(requires("roles:write", action="place_legal_hold"))]
MayLift = Annotated[
    Caller, Depends(requires("roles:write", action="lift_legal_hold", target=HOLD, fresh_seconds=FRESH_SECONDS))
]
MayRun = Annotated[Caller, Depends(requires("roles:write", action="run_retention", target=SUBJECT))]


@router.get("", responses=answers(RetentionResponse))
async def view_retention(request: Request, caller: MayView) -> Response:
    """The rules with their version as `ETag`, the legal holds in force, and how the last runs ended."""
    return await forward(request, caller, service="audit", path="/internal/audit/retention")


@router.put("", responses=outcomes(RetentionRulesResponse, 200))
async def change_retention(request: Request, caller: MayChange, body: PutRetentionRequest) -> Response:
    """Replace the rules: days by event type, and for all others. Needs a fresh proof of who you are.

    Shorter days remove entries with the next run; 412 `version_conflict` when `If-Match` names another version.
    """
    command = SetRetention(
        default_days=body.default_days, types=body.types, expected_version=expected_version(request),
        origin=caller.origin,
    )  # fmt: skip
    return await run_command(request, caller, command, subject=SUBJECT, queue=AUDIT_COMMANDS)


@router.post("/holds", status_code=201, responses=outcomes(LegalHoldResponse, 201))
async def place_legal_hold(request: Request, caller: MayHold, body: PlaceHoldRequest) -> Response:
    """Keep the entries that the filter finds, from now on, whatever their age. 409 `legal_hold_exists` for a name in force."""
    command = PlaceHold(name=body.name, reason=body.reason, filter=body.filter, origin=caller.origin)
    return await run_command(request, caller, command, subject=SUBJECT, queue=AUDIT_COMMANDS)


@router.post("/holds/{hold_id}/lift", responses=outcomes(LegalHoldResponse, 200))
async def lift_legal_hold(request: Request, caller: MayLift, hold_id: UUID, body: LiftHoldRequest) -> Response:
    """Hold no longer. Needs a fresh proof of who you are; 409 `legal_hold_lifted` when it was lifted already."""
    command = LiftHold(hold_id=str(hold_id), reason=body.reason, origin=caller.origin)
    return await run_command(request, caller, command, subject=f"legal_hold/{hold_id}", queue=AUDIT_COMMANDS)


@router.post(
    "/run",
    status_code=201,
    responses={
        **outcomes(RetentionRunResponse, 201),
        200: {"model": RetentionDryRunResponse, "description": "A dry run."},
    },
)
async def run_retention(request: Request, caller: MayRun, body: RunRetentionRequest) -> Response:
    """Archive, verify and prune now: 201 with the run, which `GET /audit/retention` follows; or count what would go: 200.

    While a run waits or is under way, that one is answered.
    """
    command = RunRetention(dry_run=body.dry_run, origin=caller.origin)
    return await run_command(request, caller, command, subject=SUBJECT, queue=AUDIT_COMMANDS)
