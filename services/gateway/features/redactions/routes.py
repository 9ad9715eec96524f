"""Personal data of one subject, erased from the audit log for good while every proof keeps holding."""

from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.broker.topology import AUDIT_COMMANDS
from libs.common.events.redactions import StartRedaction
from libs.common.identity import Caller
from libs.common.web.query import query_of
from services.gateway.access.guard import FRESH_SECONDS, requires
from services.gateway.features.answers import run_command
from services.gateway.features.redactions.schemas import (
    RedactionPreviewResponse,
    RedactionResponse,
    RedactionsResponse,
    RedactRequest,
)
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import ListQuery, Responses, answers, outcomes
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.forward import forward

PATH = "/internal/audit/redactions"
ASKED: Responses = {
    **outcomes(RedactionResponse, 201),
    200: {
        "model": RedactionResponse | RedactionPreviewResponse,
        "description": "The dry run; or the erasure of this subject that is under way already.",
    },
}

router = APIRouter(prefix="/audit/redactions", tags=["audit"], route_class=AdminRoute)

MayList = Annotated[Caller, Depends(requires("audit:read", action="list_redactions"))]
MayView = Annotated[Caller, Depends(requires("audit:read", action="view_redaction", target="redaction/{redaction_id}"))]
MayRedact = Annotated[Caller, Depends(requires("roles:write", action="redact_audit_logs", fresh_seconds=FRESH_SECONDS))]


@router.get("", responses=answers(RedactionsResponse))
async def list_redactions(
    request: Request, caller: MayList, query: Annotated[ListQuery, Depends(query_of(ListQuery))]
) -> Response:
    """The erasures that were asked for, newest first. The list member is `redactions`."""
    return await forward(request, caller, service="audit", path=PATH)


@router.post("", status_code=201, responses=ASKED)
async def redact_audit_logs(request: Request, caller: MayRedact, body: RedactRequest) -> Response:
    """Erase one subject's personal data from the entries that the log has now; needs a fresh proof.

    Where the subject acted: username, address, user agent, and details and changes that repeat them; where it is the target:
    details and changes. The entries stay, say that they were redacted, and every proof, checkpoint and tile keeps holding.
    It is done in the background and cannot be undone. With `dry_run` it answers how many entries would be looked at.
    409 `legal_hold` while a hold forbids it.
    """
    if body.dry_run:
        upstream: Upstream = request.app.state.upstream
        query = urlencode({"subject_type": body.subject_type, "subject_id": body.subject_id})
        answer = await upstream.read(
            "audit", f"{PATH}/preview", query, caller=caller, permission=request.state.permission
        )
        return Response(answer.body, status_code=answer.status, headers=answer.headers)
    command = StartRedaction(
        subject_type=body.subject_type, subject_id=body.subject_id, reason=body.reason, origin=caller.origin
    )
    subject = f"redactions/{body.subject_type}"
    return await run_command(request, caller, command, subject=subject, queue=AUDIT_COMMANDS)


@router.get("/{redaction_id}", responses=answers(RedactionResponse))
async def view_redaction(request: Request, caller: MayView, redaction_id: UUID) -> Response:
    """One erasure and how far it is."""
    return await forward(request, caller, service="audit", path=f"{PATH}/{redaction_id}")
