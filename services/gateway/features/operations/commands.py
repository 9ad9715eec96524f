"""Submit a command and answer with its outcome: in time as the result, else as an operation to poll."""

import asyncio

import orjson
from fastapi import Request, Response

from libs.common.broker.topology import Queue
from libs.common.delivery.commands import CommandClient
from libs.common.events.catalog import CommandData
from libs.common.events.envelope import Event
from libs.common.events.requests import OperationRejected
from libs.common.identity import Caller
from services.gateway.journal import Journal, command_event

WAIT_SECONDS = 2.0
OPERATIONS_PATH = "/api/v1/admin/operations"


class Operations:
    """Where commands leave from."""

    def __init__(self, journal: Journal, client: CommandClient, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._journal = journal
        self._client = client
        self._wait_seconds = wait_seconds

    async def run(self, request: Request, caller: Caller, data: CommandData, *, subject: str, queue: Queue) -> Response:
        """Commit the command, wait for its outcome, and make the answer: 200/201/204, its 4xx, or 202."""
        command = command_event(data, subject=subject, caller=caller)
        waits = "respond-async" not in request.headers.get("prefer", "").lower()
        reply = self._client.expect(command.id) if waits else None
        try:
            await self._journal.submit(
                command, queue=queue, reply_to=self._client.reply_queue if reply else "", caller=caller
            )
            request.state.recorded = True
            if reply is None:
                return accepted(command.id)
            async with asyncio.timeout(self._wait_seconds):
                return answer(await reply)
        except TimeoutError:
            return accepted(command.id)
        finally:
            if reply is not None and not reply.done():
                reply.cancel()


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
