"""The audit log: what was done, by whom, from where, and how it ended."""

from typing import Annotated, Literal
from urllib.parse import quote
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import PlainTextResponse

from libs.common.identity import Caller
from libs.common.web.query import query_of
from services.gateway.access.guard import requires
from services.gateway.features.audit.models import UNDOES, undo_of
from services.gateway.features.audit.schemas import (
    ActionsResponse,
    AuditEntriesResponse,
    AuditEntryDetailsResponse,
    AuditGapsResponse,
    AuditProofResponse,
    AuditRangeQuery,
    AuditStatsResponse,
    GapsQuery,
    SearchAuditQuery,
    TargetHistoryResponse,
    TargetTypesResponse,
    VerifiedAuditResponse,
    VerifyAuditRequest,
)
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import ListQuery, Responses, answers
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.forward import forward

PROVEN: Responses = {
    200: {"model": AuditProofResponse, "content": {"text/plain": {"schema": {"type": "string"}}}},
}
router = APIRouter(prefix="/audit", tags=["audit"], route_class=AdminRoute)

TargetType = Annotated[str, Path(min_length=1, max_length=100)]
TargetId = Annotated[str, Path(min_length=1, max_length=255)]

MaySearch = Annotated[Caller, Depends(requires("audit:read", action="list_audit_logs"))]
MayRead = Annotated[Caller, Depends(requires("audit:read", action="view_audit_log", target="audit_log/{entry_id}"))]
MayReceive = Annotated[
    Caller, Depends(requires("audit:verify", action="give_audit_receipt", target="audit_log/{entry_id}"))
]
MayProve = Annotated[Caller, Depends(requires("audit:verify", action="prove_audit_log", target="audit_log/{entry_id}"))]
MayVerify = Annotated[Caller, Depends(requires("audit:verify", action="verify_audit_log"))]
MayTrace = Annotated[
    Caller, Depends(requires("audit:read", action="view_audit_target", target="audit_target/{target_type}/{target_id}"))
]
MayCount = Annotated[Caller, Depends(requires("audit:read", action="view_audit_stats"))]
MayListActions = Annotated[Caller, Depends(requires("audit:read", action="list_audit_actions"))]
MayListGaps = Annotated[Caller, Depends(requires("audit:read", action="list_audit_gaps"))]
MayListTargets = Annotated[Caller, Depends(requires("audit:read", action="list_audit_target_types"))]


@router.get("/logs", responses=answers(AuditEntriesResponse))
async def search_audit_logs(
    request: Request, caller: MaySearch, query: Annotated[SearchAuditQuery, Depends(query_of(SearchAuditQuery))]
) -> Response:
    """Search the log, newest first. The list member is `logs`; `next_cursor` pages through all of it."""
    return await forward(request, caller, service="audit", path="/internal/audit/logs")


@router.get("/logs/{entry_id}", responses=answers(AuditEntryDetailsResponse))
async def view_audit_log(request: Request, caller: MayRead, entry_id: UUID) -> Response:
    """One entry, whole; how far it is proven; and where what it tells can be undone, the request that does so.

    That request is an ordinary one, with the permission and the record of its route; its header `Reeve-Undoes` links it to this
    entry, whose `undone_by` then names the entry of the undoing.
    """
    answer = await forward(request, caller, service="audit", path=f"/internal/audit/logs/{entry_id}")
    if answer.status_code != 200:
        return answer
    entry = orjson.loads(bytes(answer.body))
    undo = undo_of(entry) if entry["undone_by"] is None else None
    offered = None
    if undo is not None and caller.actor.may(undo.permission):
        headers = {UNDOES: entry["id"], **undo.headers}
        offered = {"method": undo.method, "path": undo.path, "body": undo.body, "headers": headers}
    return Response(orjson.dumps({**entry, "undo": offered}), media_type="application/json")


@router.get("/logs/{entry_id}/proof", responses=PROVEN)
async def prove_audit_log(
    request: Request,
    caller: MayProve,
    entry_id: UUID,
    format: Literal["json", "tlog-proof"] = "json",  # noqa: A002 - the name of the parameter
    witnessed: bool = False,
) -> Response:
    """What proves that one entry is in the log, against its newest signed checkpoint; or the same as a `.tlog-proof` file.

    409 `proof_not_ready` until a checkpoint reaches the entry, which takes about a second. With `witnessed=true` the checkpoint is the
    newest that the quorum of witnesses cosigned, which takes some seconds more; where there are no witnesses, 409 `no_witnesses`.
    """
    return await forward(request, caller, service="audit", path=f"/internal/audit/logs/{entry_id}/proof")


@router.get("/logs/{entry_id}/receipt", response_class=PlainTextResponse)
async def give_audit_receipt(request: Request, caller: MayReceive, entry_id: UUID) -> Response:
    """A signed promise of the entry's leaf hash at its place in the log, as soon as the entry is stored: to be kept.

    It is a signed note (C2SP signed-note) of the key at `/api/v1/audit/receipt-key`. The offline verifier takes it
    (`--receipt`) and names a log that lacks what was promised.
    """
    return await forward(request, caller, service="audit", path=f"/internal/audit/logs/{entry_id}/receipt")


@router.post("/verify", responses=answers(VerifiedAuditResponse))
async def verify_audit_log(request: Request, caller: MayVerify, body: VerifyAuditRequest) -> Response:
    """Derive a part of the log again from what is stored, and say what does not hold and where first.

    Leaves, the entries they speak of, what opens their commitments, and the tree above them. A call checks at most 4,096
    entries; go on from `next`. Whoever trusts nobody here verifies an export offline.
    """
    upstream: Upstream = request.app.state.upstream
    answer = await upstream.read(
        "audit",
        "/internal/audit/log/verification",
        f"first={body.first}&count={body.count}",
        caller=caller,
        permission=request.state.permission,
    )
    return Response(answer.body, status_code=answer.status, headers=answer.headers)


@router.get("/targets/{target_type}/{target_id:path}", responses=answers(TargetHistoryResponse))
async def view_audit_target(
    request: Request,
    caller: MayTrace,
    target_type: TargetType,
    target_id: TargetId,
    query: Annotated[ListQuery, Depends(query_of(ListQuery))],
) -> Response:
    """Everything that was recorded of one thing, oldest first. The list member is `history`."""
    path = f"/internal/audit/targets/{quote(target_type, safe='')}/{quote(target_id, safe='')}"
    return await forward(request, caller, service="audit", path=path)


@router.get("/stats", responses=answers(AuditStatsResponse))
async def view_audit_stats(
    request: Request, caller: MayCount, query: Annotated[AuditRangeQuery, Depends(query_of(AuditRangeQuery))]
) -> Response:
    """Counts per action, administrator, target type, outcome and day for a range."""
    return await forward(request, caller, service="audit", path="/internal/audit/stats")


@router.get("/actions", responses=answers(ActionsResponse))
async def list_audit_actions(request: Request, caller: MayListActions) -> Response:
    """The actions that occur, for a filter's drop-down."""
    return await forward(request, caller, service="audit", path="/internal/audit/actions")


@router.get("/target-types", responses=answers(TargetTypesResponse))
async def list_audit_target_types(request: Request, caller: MayListTargets) -> Response:
    """The target types that occur, for a filter's drop-down."""
    return await forward(request, caller, service="audit", path="/internal/audit/target-types")


@router.get("/gaps", responses=answers(AuditGapsResponse))
async def list_audit_gaps(
    request: Request, caller: MayListGaps, query: Annotated[GapsQuery, Depends(query_of(GapsQuery))]
) -> Response:
    """What the log lacks: numbers of Reeve's services that did not come, newest first. The list member is `gaps`."""
    return await forward(request, caller, service="audit", path="/internal/audit/gaps")
