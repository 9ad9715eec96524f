"""Choosing a password with a link, asking for such a link, and the events of it.

Whether an address has an account can be told neither from the answer to `forgot_password` nor from its time: the
request is stored in any case, and a loop that nobody waits for does what depends on the account.
"""

import asyncio
from dataclasses import replace

from libs.common import logs
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Conflict, Unavailable
from libs.common.events.catalog import Change, MessageData
from libs.common.events.users import UserActivated, UserPasswordReset
from libs.common.identity import Actor, ActorType, Caller
from libs.common.ids import new_id
from services.gateway.access.endings import end_sessions_of
from services.gateway.access.events import event_of
from services.gateway.access.grants import may_edit, refused
from services.gateway.access.sessions import ANONYMOUS
from services.gateway.features.links import store as links_store
from services.gateway.features.links.commands import Links
from services.gateway.features.links.models import (
    MOST_IN_AN_HOUR,
    Link,
    Purpose,
    hash_of,
    link_expired,
    too_many_links,
)
from services.gateway.features.passwords import store
from services.gateway.features.passwords.store import ResetRequest
from services.gateway.features.users import store as users_store
from services.gateway.features.users.commands.accounts import recipient_of
from services.gateway.features.users.commands.rights import begin_change, grantee_of
from services.gateway.features.users.models import User

ANSWER_SECONDS = 1.0
"""How often requests are looked for."""

log = logs.get("passwords")


async def find_owner(session: Session, token: str, purpose: Purpose) -> User:
    """Whose password this link is good for now. Raises `Gone`. Nothing is used up."""
    link = await links_store.find(session, hash_of(token), purpose)
    user = await users_store.find(session, link.user_id) if link is not None else None
    if user is None or not _may_use(user, purpose):
        raise link_expired()
    return user


async def choose_password(
    session: Session, caller: Caller, *, token: str, purpose: Purpose, user_id: str, password_hash: str
) -> None:
    """Use the link up and give its account this password. Raises `Gone` for all but one of several at once.

    A reset ends all sessions. Nobody is signed in by either, and a second factor stays as it is.
    """
    await store.lock_user(session, user_id)
    link = await links_store.take(session, hash_of(token), purpose)
    user = await users_store.get(session, user_id)
    if link is None or link.user_id != user_id or not _may_use(user, purpose):
        raise link_expired()
    await users_store.put(session, user_id, password_hash=password_hash)
    await links_store.end_all(session, user_id)
    owner = _as(caller, user)
    await outbox.emit(
        session,
        event_of(owner, await _told(session, owner, link, purpose), subject=f"user/{user_id}", severity="warning"),
    )


async def forget_password(session: Session, caller: Caller, *, email: str) -> None:
    """Note that somebody forgot the password of this address. Raises `Unavailable` when too many such notes wait."""
    asked = ResetRequest(email=email, origin=caller.origin, correlation_id=caller.correlation_id)
    if not await store.append_request(session, new_id(), asked):
        raise Unavailable("too many forgotten passwords at once", code="overloaded", retry_after_seconds=10)


async def send_activation_link(session: Session, caller: Caller, links: Links, *, user_id: str) -> Link:
    """Send the link again that activates an account not above the caller's role; older ones work no more.

    Raises what `begin_change` does, `Conflict` for an account that awaits none, and 429 `too_many_links`.
    """
    grantor, user = await begin_change(session, caller, user_id=user_id, version=None)
    refusal = may_edit(grantor, grantee_of(user))
    if refusal is not None:
        raise refused(refusal)
    await store.lock_user(session, user_id)
    if not user.is_active:
        raise Conflict(f"the account of user {user_id} is switched off", code="user_inactive")
    if not user.awaits_activation or await store.is_external(session, user_id):
        raise Conflict(f"user {user_id} awaits no activation", code="already_activated")
    if await links_store.count_lately(session, user_id, Purpose.ACTIVATION) >= MOST_IN_AN_HOUR:
        raise too_many_links()
    return await links.send(session, caller, recipient_of(user), Purpose.ACTIVATION)


async def answer_requests_forever(database: Database, links: Links) -> None:
    """Answer requests as they come, on every instance, each once."""
    while True:
        try:
            while await answer_request(database, links):
                pass
        except Unavailable:
            pass
        await asyncio.sleep(ANSWER_SECONDS)


async def answer_request(database: Database, links: Links) -> bool:
    """Answer the oldest request: with a link, or with nothing where there is no account, or one that had enough.

    False when none waits.
    """
    async with database.transaction() as session:
        asked = await store.take_request(session)
        if asked is None:
            return False
        user_id = await store.find_owner(session, asked.email)
        if user_id is None:
            return True
        if await links_store.count_lately(session, user_id, Purpose.PASSWORD_RESET) >= MOST_IN_AN_HOUR:
            return True
        user = await users_store.get(session, user_id)
        caller = Caller(ANONYMOUS, asked.origin, asked.correlation_id)
        try:
            await links.send(session, caller, recipient_of(user), Purpose.PASSWORD_RESET)
        except ValueError:
            # Nobody may make such an account; if one is there, its request must not keep all others waiting.
            log.error("no mail can be made to an account", user_id=user_id)
        return True


async def _told(session: Session, owner: Caller, link: Link, purpose: Purpose) -> MessageData:
    if purpose is Purpose.ACTIVATION:
        changes = {"awaits_activation": Change(old=True, new=False)}
        return UserActivated(user_id=link.user_id, link_id=link.id, changes=changes)
    ended = await end_sessions_of(session, owner, link.user_id, reason="password_changed")
    return UserPasswordReset(user_id=link.user_id, link_id=link.id, sessions_ended=len(ended))


def _may_use(user: User, purpose: Purpose) -> bool:
    return user.is_active and user.awaits_activation == (purpose is Purpose.ACTIVATION)


def _as(caller: Caller, user: User) -> Caller:
    """The same request, in the name of whoever the link was sent to. They may nothing more by it."""
    actor = Actor(
        id=user.id, type=ActorType.ADMIN, username=user.email, role=user.role, level=user.rights.level,
        permissions=frozenset(),
    )  # fmt: skip
    return replace(caller, actor=actor, origin=caller.origin.model_copy(update={"username": user.email}))
