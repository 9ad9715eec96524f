"""Asking for a change that needs four eyes, deciding it, and what ends it undecided."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from libs.common import logs
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, Unavailable
from libs.common.events.approvals import (
    ApprovalExpired,
    ApprovalFailed,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalWithdrawn,
)
from libs.common.events.catalog import Change, MessageData, new_event
from libs.common.events.envelope import Event
from libs.common.identity import Actor, ActorType, Caller
from libs.common.ids import new_id
from services.gateway.access.events import event_of
from services.gateway.access.store import lock_rights
from services.gateway.features.approvals import store
from services.gateway.features.approvals.models import (
    DEFAULT_SECONDS,
    Approval,
    Asked,
    State,
    Waiting,
    approval_expired,
    approval_not_found,
    refuse_asking,
    refuse_decision,
    refuse_end,
)
from services.gateway.features.approvals.store import Seen

NOTE_SECONDS = 5.0
"""How often changes are looked for that nobody decided in time. None could be approved since; this tells of it."""
REFUSALS = (Forbidden, NotFound, Conflict, PreconditionFailed, Invalid)
"""What a change that waited may meet when it is made at last: it fails then, and is not tried again."""

Judge = Callable[[Session, Caller, Approval], Awaitable[None]]
CarryOut = Callable[[Session, Caller, Approval, str], Awaitable[None]]

log = logs.get("approvals")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of change that needs four eyes.

    `permission` is that of the change itself: who holds it sees what waits. `judge` raises what keeps a caller from
    making the change themselves, as things are now. `carry_out` makes the change that was asked for, once more by the
    rules for its asker, in the name of the caller who approved it; the id it is given is that of the event which caused
    it. `shows` are the inputs that an approver must see and that are kept nowhere once the change is decided.
    """

    name: str
    permission: str
    judge: Judge
    carry_out: CarryOut
    shows: tuple[str, ...] = ()


class Approvals:
    """The kinds of changes that wait for a second pair of eyes, and the way of each. Nothing here commits."""

    def __init__(self, kinds: Sequence[Kind], *, waits_seconds: int = DEFAULT_SECONDS) -> None:
        self._waits_seconds = waits_seconds
        self._kinds = {kind.name: kind for kind in kinds}
        if len(self._kinds) != len(kinds):
            raise ValueError("two kinds of approvals have one name")

    def kind_of(self, approval: Approval) -> Kind | None:
        """The kind of a change; None for one of another release."""
        return self._kinds.get(approval.kind)

    def seen_by(self, actor: Actor) -> Seen:
        """What an actor may see: what they hold the permission for, and their own."""
        return Seen([kind.name for kind in self._kinds.values() if actor.may(kind.permission)], own=actor.id)

    async def ask(self, session: Session, caller: Caller, asked: Asked, *, causation_id: str | None = None) -> Waiting:
        """Put a change up for approval, once it is decided that the caller might make it but for the second pair of eyes.

        The same change asked for again is the one that waits. Raises `Conflict` for another one of the same thing, and
        for too many.
        """
        await lock_rights(session)
        by = caller.actor.id
        waiting = await store.find_waiting(session, asked.kind, asked.target)
        pending = await store.count_pending(session, by)
        refusal = refuse_asking(asked, by=by, waiting=waiting, pending=pending)
        if refusal is not None:
            raise refusal
        if waiting is not None:
            return Waiting(waiting, is_new=False)
        made = await store.append(session, new_id(), asked, asked_by=by, waits_seconds=self._waits_seconds)
        data = ApprovalRequested(
            **_named(made),
            expires_at=made.expires_at,
            proposed={name: Change(**change) for name, change in made.changes.items()},
        )
        await outbox.emit(session, _told(caller, made, data, severity="warning", causation_id=causation_id))
        return Waiting(made, is_new=True)

    async def get(self, session: Session, actor: Actor, approval_id: str, *, locks: bool = False) -> Approval:
        """One change that an actor may see. Raises `NotFound`, the same for one that they may not."""
        found = await store.find(session, approval_id, seen=self.seen_by(actor), locks=locks)
        if found is None:
            raise approval_not_found(approval_id)
        return found

    async def approve(self, session: Session, caller: Caller, approval_id: str) -> Approval:
        """Approve a change and make it; where it can no longer be made, its end is `failed` and nothing else happened.

        Raises `Forbidden` for one's own and for a change that the caller might not make themselves, and `Conflict` for
        one that waits no more.
        """
        found, kind = await self._begin(session, caller, approval_id)
        told = _told(caller, found, ApprovalGranted(**_named(found)), severity="warning")
        try:
            async with session.begin_nested():
                approved = await _end(session, found, State.APPROVED, decided_by=caller.actor.id)
                await outbox.emit(session, told)
                await kind.carry_out(session, caller, found, told.id)
        except REFUSALS as refusal:
            return await self._fail(session, caller, found, failure=refusal.code)
        return approved

    async def reject(self, session: Session, caller: Caller, approval_id: str, *, reason: str) -> Approval:
        """Decline a change, for a reason that its asker reads. Raises as `approve` does."""
        found, _ = await self._begin(session, caller, approval_id)
        rejected = await _end(session, found, State.REJECTED, decided_by=caller.actor.id, reason=reason)
        await outbox.emit(session, _told(caller, found, ApprovalRejected(**_named(found), reason=reason)))
        return rejected

    async def withdraw(self, session: Session, caller: Caller, approval_id: str) -> Approval:
        """Take back one's own change. Raises `NotFound`, and `Conflict` for somebody else's and one that waits no more."""
        await lock_rights(session)
        found = await self.get(session, caller.actor, approval_id, locks=True)
        if found.asked_by != caller.actor.id:
            raise Conflict("what somebody else asked for is approved or rejected", code="approval_pending")
        refusal = refuse_end(found)
        if refusal is not None:
            raise refusal
        withdrawn = await _end(session, found, State.WITHDRAWN)
        await outbox.emit(session, _told(caller, found, ApprovalWithdrawn(**_named(found))))
        return withdrawn

    async def _begin(self, session: Session, caller: Caller, approval_id: str) -> tuple[Approval, Kind]:
        """A change that waits and that the caller may decide, and that nobody else decides meanwhile."""
        await lock_rights(session)
        found = await self.get(session, caller.actor, approval_id, locks=True)
        kind = self.kind_of(found)
        if kind is None:
            raise approval_not_found(approval_id)
        refusal = refuse_decision(found, by=caller.actor.id)
        if refusal is not None:
            raise refusal
        await kind.judge(session, caller, found)
        return found, kind

    async def _fail(self, session: Session, caller: Caller, found: Approval, *, failure: str) -> Approval:
        failed = await _end(session, found, State.FAILED, decided_by=caller.actor.id, failure=failure)
        data = ApprovalFailed(**_named(found), failure=failure)
        await outbox.emit(session, _told(caller, found, data, severity="warning"))
        return failed


async def note_expired(database: Database) -> int:
    """Tell of some changes that nobody decided in time, each once however many instances do this; how many."""
    async with database.transaction() as session:
        late = await store.end_expired(session)
        events = [
            new_event(ApprovalExpired(**_named(one)), subject=f"approval/{one.id}", actor_type=ActorType.SYSTEM)
            for one in late
        ]
        await outbox.emit(session, *events)
    return len(late)


async def note_expired_forever(database: Database) -> None:
    """Tell of changes that nobody decided in time, every five seconds, until cancelled."""
    while True:
        try:
            while await note_expired(database) == store.MOST_EXPIRED:
                pass
        except Unavailable as error:
            log.warning("expired approvals not noted", error=error.code)
        await asyncio.sleep(NOTE_SECONDS)


async def _end(
    session: Session,
    found: Approval,
    state: State,
    *,
    decided_by: str | None = None,
    reason: str | None = None,
    failure: str | None = None,
) -> Approval:
    ended = await store.end(session, found.id, state, decided_by=decided_by, reason=reason, failure=failure)
    if ended is None:
        # It was read as one that waits and is locked, so its time ended in between.
        raise approval_expired(found)
    return ended


def _named(found: Approval) -> dict[str, str]:
    return {"approval_id": found.id, "kind": found.kind, "target": found.target, "asked_by": found.asked_by}


def _told(
    caller: Caller, found: Approval, data: MessageData, *, severity: str | None = None, causation_id: str | None = None
) -> Event:
    return event_of(caller, data, subject=f"approval/{found.id}", severity=severity, causation_id=causation_id)
