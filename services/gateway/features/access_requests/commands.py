"""Asking for permissions, granting them for a time, and what ends them."""

import asyncio
from datetime import UTC, datetime

from libs.common import logs
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Conflict, Unavailable
from libs.common.events.access import (
    AccessEnded,
    AccessGranted,
    AccessRejected,
    AccessRequested,
    AccessWithdrawn,
    EndReason,
)
from libs.common.events.catalog import Change, new_event
from libs.common.events.envelope import rfc3339
from libs.common.identity import ActorType, Caller
from libs.common.ids import new_id
from services.gateway.access.events import access_ended, event_of
from services.gateway.access.grants import may_decide, refused
from services.gateway.access.permissions import holds
from services.gateway.access.store import EndedGrant, lock_rights
from services.gateway.facts import FactKind
from services.gateway.features.access_requests import store
from services.gateway.features.access_requests.models import (
    MOST_PENDING,
    AccessRequest,
    State,
    check_until,
    request_decided,
    request_not_found,
)
from services.gateway.features.users import store as users_store
from services.gateway.features.users.commands.rights import current_grantor
from services.gateway.sightings import fact_of
from services.gateway.store import note

APPROVES = "roles:write"
"""What it takes to decide requests, beside the permission that is asked for."""
NOTE_SECONDS = 5.0
"""How often grants are looked for whose time is over. They stopped counting when it was; this tells of it."""

log = logs.get("access")


async def request_access(session: Session, caller: Caller, *, permission: str, reason: str) -> AccessRequest:
    """Ask for a permission for oneself. Raises `Conflict` for one that the role holds, that waits, or too many."""
    await lock_rights(session)
    user = await users_store.get(session, caller.actor.id)
    if holds(user.rights.permissions, permission):
        raise Conflict(f"the role {user.role} holds {permission} already", code="already_granted")
    if await store.count_pending(session, user.id) >= MOST_PENDING:
        raise Conflict(f"{MOST_PENDING} requests wait already, which is the most", code="too_many_requests")
    made = await store.append(session, new_id(), user_id=user.id, permission=permission, reason=reason)
    if made is None:
        raise Conflict(f"a request for {permission} waits already", code="request_exists")
    data = AccessRequested(request_id=made.id, user_id=user.id, permission=permission, reason=reason)
    await outbox.emit(session, event_of(caller, data, subject=_subject(made)))
    return made


async def approve(session: Session, caller: Caller, request_id: str, *, until: datetime) -> AccessRequest:
    """Grant what was asked for, until a moment within 30 days.

    Raises `Forbidden` for one's own request and for a permission that the caller's role lacks, `Conflict` for
    a request that is decided or whose asker may no longer act, 422 `invalid_until`.
    """
    found = await _begin(session, caller, request_id, approves=True)
    check_until(until, now=datetime.now(UTC))
    until = until.astimezone(UTC)  # Not before the check: far away moments have no name in UTC.
    asker = await users_store.get(session, found.user_id)
    if not asker.is_active:
        raise Conflict(f"the account of user {asker.id} is switched off", code="user_inactive")
    granted = await store.decide(session, request_id, State.APPROVED, decided_by=caller.actor.id, until=until)
    data = AccessGranted(
        request_id=granted.id,
        user_id=granted.user_id,
        permission=granted.permission,
        until=rfc3339(until),
        changes={granted.permission: Change(old=False, new=True)},
    )
    await outbox.emit(session, event_of(caller, data, subject=_subject(granted), severity="warning"))
    details = {"change": "grant", "target": granted.user_id, "permission": granted.permission, "until": data.until}
    await note(session, fact_of(caller, FactKind.PRIVILEGE_CHANGED, details=details))
    return granted


async def reject(session: Session, caller: Caller, request_id: str, *, reason: str) -> AccessRequest:
    """Decline a request that waits. Raises as `approve` does."""
    await _begin(session, caller, request_id, approves=False)
    declined = await store.decide(session, request_id, State.REJECTED, decided_by=caller.actor.id, reason=reason)
    data = AccessRejected(
        request_id=declined.id, user_id=declined.user_id, permission=declined.permission, reason=reason
    )
    await outbox.emit(session, event_of(caller, data, subject=_subject(declined)))
    return declined


async def take_back(session: Session, caller: Caller, request_id: str) -> AccessRequest:
    """Withdraw a request that waits, or end a grant before its time: one's own, or as somebody who approves.

    Raises `NotFound` for what is not the caller's to see and `Conflict` for what is over.
    """
    await lock_rights(session)
    found = await store.get(session, request_id, locks=True)
    is_own = found.user_id == caller.actor.id
    if not is_own and not caller.actor.may(APPROVES):
        raise request_not_found(request_id)
    if not is_own:
        await current_grantor(session, caller, needs=APPROVES)
    match found.state_at(datetime.now(UTC)):
        case State.PENDING if is_own:
            return await _withdraw(session, caller, found)
        case State.PENDING:
            raise Conflict("a request that waits is approved or rejected", code="request_pending")
        case State.APPROVED:
            return await _end(session, caller, found, reason="given_back" if is_own else "revoked")
        case state:
            raise request_decided(request_id, state)


async def note_ended(database: Database) -> int:
    """Tell of some grants whose time is over, each once however many instances do this; returns how many."""
    async with database.transaction() as session:
        ended = await store.end_expired(session)
        events = [
            new_event(access_ended(grant, "expired"), subject=f"user/{grant.user_id}", actor_type=ActorType.SYSTEM)
            for grant in ended
        ]
        await outbox.emit(session, *events)
    return len(ended)


async def note_ended_forever(database: Database) -> None:
    """Tell of grants whose time is over, every five seconds, until cancelled."""
    while True:
        try:
            while await note_ended(database) == store.MOST_ENDED:
                pass
        except Unavailable as error:
            log.warning("ended grants not noted", error=error.code)
        await asyncio.sleep(NOTE_SECONDS)


async def _begin(session: Session, caller: Caller, request_id: str, *, approves: bool) -> AccessRequest:
    """A pending request that the caller may decide, and that nobody else decides meanwhile."""
    await lock_rights(session)
    grantor = await current_grantor(session, caller, needs=APPROVES)
    found = await store.get(session, request_id, locks=True)
    refusal = may_decide(grantor, asked_by=found.user_id, permission=found.permission, approves=approves)
    if refusal is not None:
        raise refused(refusal)
    if found.state is not State.PENDING:
        raise request_decided(request_id, found.state_at(datetime.now(UTC)))
    return found


async def _withdraw(session: Session, caller: Caller, found: AccessRequest) -> AccessRequest:
    withdrawn = await store.decide(session, found.id, State.WITHDRAWN)
    data = AccessWithdrawn(request_id=found.id, user_id=found.user_id, permission=found.permission)
    await outbox.emit(session, event_of(caller, data, subject=_subject(found)))
    return withdrawn


async def _end(session: Session, caller: Caller, found: AccessRequest, *, reason: EndReason) -> AccessRequest:
    ended = await store.end(session, found.id, reason=reason)
    await outbox.emit(session, event_of(caller, _ended(found, reason), subject=_subject(found), severity="warning"))
    return ended


def _ended(found: AccessRequest, reason: EndReason) -> AccessEnded:
    assert found.until is not None
    grant = EndedGrant(id=found.id, user_id=found.user_id, permission=found.permission, until=found.until)
    return access_ended(grant, reason)


def _subject(found: AccessRequest) -> str:
    """Whose rights it is about: all events about one person keep their order."""
    return f"user/{found.user_id}"
