"""The gateway's journal: what a request leaves behind, durable before its answer.

All requests in flight share one commit (group commit). When the commit fails, so does the request,
with 503: Reeve would rather not serve than serve unrecorded.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from libs.common.broker.topology import Queue
from libs.common.crashpoint import crashpoint
from libs.common.database import outbox
from libs.common.database.group_commit import GroupCommit
from libs.common.events.catalog import CommandData, new_event
from libs.common.events.envelope import Event
from libs.common.events.requests import OperationAccepted, RequestRecorded
from libs.common.identity import Caller
from libs.common.ids import new_id
from services.gateway.facts import Fact
from services.gateway.store import NewOperation, TakenEvent, Unit


class Journal:
    """Records requests and submits commands; returns only when that is committed."""

    def __init__(self, commits: GroupCommit[Unit]) -> None:
        self._commits = commits

    async def run(self) -> None:
        """Commit what comes until cancelled; what waits then is still written."""
        async with self._commits:
            await asyncio.Event().wait()

    async def record(self, *events: Event, facts: Sequence[Fact] = ()) -> None:
        """Commit events and facts. Raises `Unavailable` (503 `audit_unavailable`) when they cannot be stored in time."""
        await self._commit(Unit(rows=tuple(outbox.outbox_row(event) for event in events), facts=tuple(facts)))

    async def take_in(self, *events: Event) -> None:
        """Commit events of platforms; one that was committed before, by its source and id, changes nothing. Raises as `record`."""
        await self._commit(Unit(rows=(), taken=tuple(TakenEvent(one.source, outbox.outbox_row(one)) for one in events)))

    async def submit(self, command: Event, *, queue: Queue, reply_to: str, caller: Caller) -> None:
        """Commit a command, its operation and the event that says it was accepted, together."""
        action = str(command.data["action"])
        accepted = new_event(
            OperationAccepted(operation_id=command.id, operation=action, command=command.type, origin=caller.origin),
            subject=command.subject,
            actor_id=command.actorid,
            actor_type=command.actortype,
            correlation_id=command.correlationid,
            causation_id=command.id,
            traceparent=command.traceparent,
        )
        operation = NewOperation(
            id=command.id, admin_id=caller.actor.id, action=action, subject=command.subject,
            correlation_id=command.correlationid,
        )  # fmt: skip
        rows = (outbox.command_row(command, queue=queue, reply_to=reply_to), outbox.outbox_row(accepted))
        await self._commit(Unit(rows=rows, operation=operation))

    async def _commit(self, unit: Unit) -> None:
        crashpoint("gw.before_commit")
        await self._commits.commit(unit)
        crashpoint("gw.after_commit")


def command_event(data: CommandData, *, subject: str, caller: Caller) -> Event:
    """A command in the name of `caller`; its id is the operation's id."""
    return new_event(
        data,
        subject=subject,
        actor_id=caller.actor.id,
        actor_type=caller.actor.type.value,
        correlation_id=caller.correlation_id,
        traceparent=caller.traceparent,
    )


def request_event(
    *,
    caller: Caller | None,
    origin: dict[str, Any],
    correlation_id: str,
    traceparent: str | None,
    target: str | None,
    recorded: dict[str, Any],
) -> Event:
    """The event of one request, built without the model on this hot path; a test holds the two together."""
    return Event(
        id=new_id(),
        source=RequestRecorded.SOURCE,
        type=RequestRecorded.TYPE,
        time=datetime.now(UTC),
        data={"origin": origin, **recorded},
        subject=target,
        actorid=caller.actor.id if caller else None,
        actortype=caller.actor.type.value if caller else "anonymous",
        correlationid=correlation_id,
        traceparent=traceparent,
    )
