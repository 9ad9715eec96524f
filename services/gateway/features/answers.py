"""Answers to writes that travel as commands: the outcome in time, else an operation to poll."""

import orjson
from fastapi import Request, Response

from libs.common.broker.topology import Queue
from libs.common.events.catalog import CommandData
from libs.common.events.envelope import Event
from libs.common.events.requests import OperationRejected
from libs.common.identity import Caller
from services.gateway.features.operations.commands import Operations

OPERATIONS_PATH = "/api/v1/admin/operations"


async def run_command(request: Request, caller: Caller, data: CommandData, *, subject: str, queue: Queue) -> Response:
    """Commit the command, wait for its outcome, and make the answer: 200/201/204, its 4xx, or 202."""
    operations: Operations = request.app.state.operations
    waits = "respond-async" not in request.headers.get("prefer", "").lower()
    submitted = await operations.run(caller, data, subject=subject, queue=queue, waits=waits)
    request.state.recorded = True
    return accepted(submitted.operation_id) if submitted.outcome is None else answer(submitted.outcome)


def accepted(operation_id: str) -> Response:
    """202: the write is durable and will be applied exactly once."""
    body = orjson.dumps({"operation_id": operation_id, "status": "accepted"})
    return Response(
        body, status_code=202, media_type="application/json", headers={"Location": f"{OPERATIONS_PATH}/{operation_id}"}
    )


def answer(outcome: Event) -> Response:
    """The answer that an outcome event carries: the result with its ETag, or the service's refusal."""
    status = int(outcome.data.get("status", 200))
    headers = {"X-Operation-ID": outcome.causationid or ""}
    if outcome.type == OperationRejected.TYPE:
        return Response(
            orjson.dumps({"detail": outcome.data["error"]}),
            status_code=status,
            media_type="application/json",
            headers=headers,
        )
    result = outcome.data.get("result")
    if result is None or status == 204:
        return Response(status_code=204, headers=headers)
    if isinstance(result, dict) and isinstance(result.get("version"), int):
        headers["ETag"] = f'"{result["version"]}"'
    return Response(orjson.dumps(result), status_code=status, media_type="application/json", headers=headers)
