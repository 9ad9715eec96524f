"""The witness over HTTP, as C2SP tlog-witness has it: heads are added, and what was cosigned last is shown."""

import time

from fastapi import APIRouter, Request, Response

from libs.common import logs
from libs.common.errors import NotFound, Unavailable
from libs.common.web.body import StrictRoute
from services.audit.witness.judging import UNREADABLE, Behind, Refused
from services.audit.witness.requests import Unreadable, parse
from services.audit.witness.witness import Witness

SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"

router = APIRouter(route_class=StrictRoute)
log = logs.get("witness")


@router.post("/add-checkpoint")
async def add_checkpoint(request: Request) -> Response:
    """Cosign a head that continues the last one."""
    try:
        asked = parse(await request.body())
    except Unreadable as error:
        return _text(f"{error}\n", UNREADABLE)
    witness: Witness = request.app.state.witness
    try:
        outcome = witness.add(asked, now=int(time.time()))
    except OSError as error:
        log.error("head not remembered, so not cosigned", error=error.strerror or type(error).__name__)
        raise Unavailable("the witness cannot write to its disk") from error
    match outcome:
        case Behind(size=size):
            # The type is the protocol's word by word, so it bears no charset.
            return Response(f"{size}\n".encode(), 409, headers={"content-type": SIZE_TYPE})
        case Refused(status=status, reason=reason):
            return _text(f"{reason}\n", status)
        case line:
            return _text(line, 200)


@router.get("/{name}/checkpoint")
async def view_checkpoint(request: Request, name: str) -> Response:
    """What was cosigned last of the log whose name has the SHA-256 `name`, in hex."""
    witness: Witness = request.app.state.witness
    note = witness.newest(name)
    if note is None:
        raise NotFound("nothing of such a log was cosigned")
    return _text(note, 200)


def _text(content: str, status: int) -> Response:
    return Response(content, status, media_type=TEXT_TYPE)
