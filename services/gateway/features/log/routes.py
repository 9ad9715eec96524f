"""The log as C2SP's tlog-checkpoint and tlog-tiles lay it out, for any client of transparency logs.

For whoever may verify it, or for everybody where the operator says so. Errors are a line of text, as these clients expect.
"""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse

from libs.common.errors import Conflict, NotFound, Unavailable
from libs.common.identity import Caller
from libs.common.web.errors import Problem
from services.gateway.access.guard import Guard, public, requires
from services.gateway.features.route import AdminRoute
from services.gateway.upstream.forward import forward

LOG_PREFIX = "/api/v1/audit/"
PERMISSION = "audit:verify"

_TILE = re.compile(r"(?:entries|\d{1,2})/(?:x\d{3}/)*\d{3}(?:\.p/\d{1,3})?", re.ASCII)
_LONGEST_TILE = 80
_TEXT: dict[str, Any] = {"description": "Error", "content": {"text/plain": {"schema": {"type": "string"}}}}
_ERRORS: dict[int | str, dict[str, Any]] = {404: _TEXT, 422: _TEXT, "default": _TEXT}
_OCTETS: dict[str, Any] = {
    "description": "Hashes of 32 bytes, or leaves each after its length in two bytes.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


def log_router(*, is_public: bool) -> APIRouter:
    """The routes, for everybody or for whoever holds `audit:verify`."""
    router = APIRouter(prefix="/audit", tags=["audit"], route_class=AdminRoute, responses=_ERRORS)

    def door(action: str) -> Guard:
        return public(action=action) if is_public else requires(PERMISSION, action=action)

    @router.get("/key", response_class=PlainTextResponse)
    async def view_log_key(
        request: Request, caller: Annotated[Caller, Depends(door("view_audit_log_key"))]
    ) -> Response:
        """The log's verifier key, `<name>+<id>+<base64>`, as signed notes write it."""
        return await _read(request, caller, "key")

    @router.get("/receipt-key", response_class=PlainTextResponse)
    async def view_receipt_key(
        request: Request, caller: Annotated[Caller, Depends(door("view_audit_receipt_key"))]
    ) -> Response:
        """The verifier key of receipts, `<name>+<id>+<base64>`, as signed notes write it."""
        return await _read(request, caller, "receipt-key")

    @router.get("/checkpoint", response_class=PlainTextResponse)
    async def view_log_checkpoint(
        request: Request, caller: Annotated[Caller, Depends(door("view_audit_checkpoint"))], witnessed: bool = False
    ) -> Response:
        """The newest signed head of the log (C2SP tlog-checkpoint); with `witnessed=true` the newest that the quorum of witnesses
        cosigned. Cosignatures (C2SP tlog-cosignature) stand behind the log's own signature.
        """
        return await _read(request, caller, "checkpoint")

    @router.get("/tile/{path:path}", response_class=Response, responses={200: _OCTETS})
    async def view_log_tile(
        request: Request, caller: Annotated[Caller, Depends(door("view_audit_tile"))], path: str
    ) -> Response:
        """A tile (C2SP tlog-tiles): `<L>/<N>` of hashes or `entries/<N>` of leaves, with `.p/<W>` where not full yet."""
        if len(path) > _LONGEST_TILE or not _TILE.fullmatch(path):
            raise NotFound("a tile is called <level>/<number> or entries/<number>, such as 0/x001/234.p/56")
        return await _read(request, caller, f"tile/{path}")

    return router


async def _read(request: Request, caller: Caller, what: str) -> Response:
    # What everybody may read was allowed by the operator; the service behind asks for the permission all the same.
    request.state.permission = PERMISSION
    answer = await forward(request, caller, service="audit", path=f"/internal/audit/log/{what}")
    if answer.status_code == 404:
        raise NotFound(f"the log has no {what} yet")
    if answer.status_code == 409:
        raise Conflict("the log has no witnesses", code="no_witnesses")
    if answer.status_code >= 400:
        raise Unavailable("the log cannot be read now")
    return answer


def text_shape(problem: Problem) -> tuple[bytes, str]:
    """A problem as one line of text."""
    return f"{problem.detail['message']}\n".encode(), "text/plain; charset=utf-8"
