"""Sinks: where the entries of the audit log stream to, how each does, and a test of it."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response

from libs.common.broker.topology import AUDIT_COMMANDS
from libs.common.events.sinks import DeleteSink, TestSink
from libs.common.identity import Caller
from services.gateway.access.guard import requires
from services.gateway.features.answers import run_command
from services.gateway.features.preconditions import expected_version
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import answers, outcomes
from services.gateway.features.sinks.commands import PATH, SinkCommands, ended_test
from services.gateway.features.sinks.schemas import SinkRequest, SinkResponse, SinksResponse, SinkTestResponse
from services.gateway.upstream.forward import forward

TARGET = "sink/{sink_id}"

router = APIRouter(prefix="/audit/sinks", tags=["audit"], route_class=AdminRoute)

MayList = Annotated[Caller, Depends(requires("roles:write", action="list_sinks"))]
MayCreate = Annotated[Caller, Depends(requires("roles:write", action="create_sink"))]
MayView = Annotated[Caller, Depends(requires("roles:write", action="view_sink", target=TARGET))]
MayChange = Annotated[Caller, Depends(requires("roles:write", action="update_sink", target=TARGET))]
MayDelete = Annotated[Caller, Depends(requires("roles:write", action="delete_sink", target=TARGET))]
MayTest = Annotated[Caller, Depends(requires("roles:write", action="test_sink", target=TARGET))]


@router.get("", responses=answers(SinksResponse))
async def list_sinks(request: Request, caller: MayList) -> Response:
    """All sinks, oldest first; there are at most 20. The list member is `sinks`."""
    return await forward(request, caller, service="audit", path=PATH)


@router.post("", status_code=201, responses=outcomes(SinkResponse, 201))
async def create_sink(request: Request, caller: MayCreate, body: SinkRequest) -> Response:
    """Stream entries to a new place: syslog, https or a bucket (s3). 409 `sink_exists`, 422 `destination_not_allowed` or `secret_required`."""
    command = _commands(request).create(body, origin=caller.origin)
    return await run_command(request, caller, command, subject=f"sinks/{caller.actor.id}", queue=AUDIT_COMMANDS)


@router.get("/{sink_id}", responses=answers(SinkResponse))
async def view_sink(request: Request, caller: MayView, sink_id: UUID) -> Response:
    """One sink, with its version as `ETag`."""
    return await forward(request, caller, service="audit", path=f"{PATH}/{sink_id}")


@router.put("/{sink_id}", responses=outcomes(SinkResponse, 200))
async def update_sink(request: Request, caller: MayChange, sink_id: UUID, body: SinkRequest) -> Response:
    """Replace what the sink is; it goes on where it was unless `starts` is given. The secret stays for the same destination."""
    command = _commands(request).change(str(sink_id), body, version=expected_version(request), origin=caller.origin)
    return await run_command(request, caller, command, subject=f"sink/{sink_id}", queue=AUDIT_COMMANDS)


@router.delete("/{sink_id}", status_code=204, responses=outcomes(None))
async def delete_sink(request: Request, caller: MayDelete, sink_id: UUID) -> Response:
    """Stream nothing there any more."""
    command = DeleteSink(sink_id=str(sink_id), expected_version=expected_version(request), origin=caller.origin)
    return await run_command(request, caller, command, subject=f"sink/{sink_id}", queue=AUDIT_COMMANDS)


@router.post("/{sink_id}/test", responses=outcomes(SinkTestResponse, 200))
async def test_sink(request: Request, caller: MayTest, sink_id: UUID) -> Response:
    """Send a message that says it is a test, and tell how it went; the sink's cursor stays where it is.

    `waiting` when that takes longer than 20 seconds: the sink's `last_test` says it later.
    """
    answer = await run_command(
        request, caller, TestSink(sink_id=str(sink_id), origin=caller.origin), subject=f"sink/{sink_id}",
        queue=AUDIT_COMMANDS,
    )  # fmt: skip
    if answer.status_code != 200:
        return answer
    test_id = orjson.loads(bytes(answer.body))["test_id"]
    ended = await ended_test(request.app.state.upstream, caller, str(sink_id), test_id)
    found = ended or {"id": test_id, "state": "waiting", "error": None, "tested_at": None}
    headers = {"X-Operation-ID": answer.headers["X-Operation-ID"]}
    return Response(orjson.dumps(found), media_type="application/json", headers=headers)


def _commands(request: Request) -> SinkCommands:
    commands: SinkCommands = request.app.state.sink_commands
    return commands
