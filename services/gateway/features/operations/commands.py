"""Submit a command and wait a while for its outcome."""

import asyncio
from dataclasses import dataclass

from libs.common.broker.topology import Queue
from libs.common.delivery.commands import CommandClient
from libs.common.events.catalog import CommandData
from libs.common.events.envelope import Event
from libs.common.identity import Caller
from services.gateway.journal import Journal, command_event

WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Submitted:
    """A command that is durable, and its outcome if that came in time."""

    operation_id: str
    outcome: Event | None


class Operations:
    """Where commands leave from."""

    def __init__(self, journal: Journal, client: CommandClient, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._journal = journal
        self._client = client
        self._wait_seconds = wait_seconds

    async def run(self, caller: Caller, data: CommandData, *, subject: str, queue: Queue, waits: bool) -> Submitted:
        """Commit the command and, if `waits`, wait for its outcome. Raises `Unavailable` when it cannot be committed."""
        command = command_event(data, subject=subject, caller=caller)
        reply = self._client.expect(command.id) if waits else None
        reply_to = self._client.reply_queue if reply else ""
        try:
            await self._journal.submit(command, queue=queue, reply_to=reply_to, caller=caller)
            if reply is None:
                return Submitted(command.id, None)
            async with asyncio.timeout(self._wait_seconds):
                return Submitted(command.id, await reply)
        except TimeoutError:
            return Submitted(command.id, None)
        finally:
            if reply is not None and not reply.done():
                reply.cancel()
