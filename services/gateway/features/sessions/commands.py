"""Ending other sessions than one's present one, and those that nobody uses any more."""

import asyncio
from collections.abc import Awaitable, Callable

from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import NotFound, Unavailable
from libs.common.events.catalog import new_event
from libs.common.events.users import SessionEnded
from libs.common.identity import ActorType, Caller
from services.gateway.access.endings import end_session, end_sessions_of
from services.gateway.access.grants import may_edit, refused
from services.gateway.access.lifetimes import Lifetimes
from services.gateway.features.sessions import store
from services.gateway.features.users import store as users_store
from services.gateway.features.users.commands.rights import current_grantor, grantee_of

REVOKE = "sessions:revoke"
SWEEP_SECONDS = 10.0
MOST_SWEPT = 200


async def revoke_session(session: Session, caller: Caller, session_id: str) -> bool:
    """End one's own session or, with `sessions:revoke`, another's up to one's own role; False when it had ended.

    Raises the same `NotFound` for a session that there is not and for one that the caller may not know of.
    """
    actor = caller.actor
    may_revoke = actor.may(REVOKE)
    owner = await store.find_owner(session, session_id, user_id=None if may_revoke else actor.id)
    if owner is None:
        raise NotFound(f"no session {session_id}", code="session_not_found")
    if owner != actor.id:
        await _check_lattice(session, caller, owner)
    return await end_session(session, caller, session_id, reason="revoked")


async def revoke_sessions_of(session: Session, caller: Caller, user_id: str, *, spared: str | None) -> int:
    """End all sessions of a user but the `spared` one; how many there were. Raises `NotFound` and `Forbidden`."""
    if user_id != caller.actor.id:
        await _check_lattice(session, caller, user_id)
    return len(await end_sessions_of(session, caller, user_id, reason="revoked", spared=spared))


async def _check_lattice(session: Session, caller: Caller, user_id: str) -> None:
    grantor = await current_grantor(session, caller, needs=REVOKE)
    refusal = may_edit(grantor, grantee_of(await users_store.get(session, user_id)))
    if refusal is not None:
        raise refused(refusal)


def session_sweep(database: Database, lifetimes: Lifetimes) -> Callable[[], Awaitable[None]]:
    """A task that gives every session past a limit its end and its event. Their tokens stopped working before."""

    async def sweep() -> None:
        while True:
            try:
                while await sweep_once(database, lifetimes) == MOST_SWEPT:
                    pass
            except Unavailable:
                pass
            await asyncio.sleep(SWEEP_SECONDS)

    return sweep


async def sweep_once(database: Database, lifetimes: Lifetimes) -> int:
    """End up to `MOST_SWEPT` sessions past a limit; how many there were."""
    async with database.transaction() as session:
        ended = await store.end_outlived(session, lifetimes=lifetimes, most=MOST_SWEPT)
        events = [
            new_event(
                SessionEnded.model_validate(
                    {"session_id": id_, "user_id": user_id, "reason": reason, "action": "end_session"}
                ),
                subject=f"session/{id_}",
                actor_type=ActorType.SYSTEM,
            )
            for id_, user_id, reason in ended
        ]
        if events:
            await outbox.emit(session, *events)
    return len(ended)
