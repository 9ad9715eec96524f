"""What signing in and out does, and the events it leaves."""

import secrets
from dataclasses import replace
from hashlib import sha256
from typing import Literal

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.errors import Conflict
from libs.common.events.users import SessionEnded, SessionRefreshed, SessionStarted, SignInFailed
from libs.common.identity import Caller
from libs.common.ids import new_id
from services.gateway.access.events import event_of
from services.gateway.access.sessions import admin_actor
from services.gateway.features.auth import store
from services.gateway.features.auth.models import FailureReason, ReusedToken, StartedSession
from services.gateway.features.auth.store import StoredSession
from services.gateway.features.users.models import User, masked_email


async def start_session(
    session: Session,
    caller: Caller,
    user: User,
    *,
    seconds: int,
    new_password_hash: str | None,
    issuer: str | None = None,
) -> StartedSession | None:
    """Sign a user in, by the word of `issuer` if not by password; None when their account was switched off meanwhile."""
    stored = await store.append_session(
        session,
        new_id(),
        user_id=user.id,
        ip_address=caller.origin.ip_address,
        user_agent=caller.origin.user_agent,
        seconds=seconds,
    )
    if stored is None:
        return None
    await store.note_sign_in(session, user.id, password_hash=new_password_hash)
    await store.purge_refresh_tokens(session)
    started = await _with_refresh_token(session, stored)
    signed_in = _as(caller, user, session_id=stored.id)
    data = SessionStarted(session_id=stored.id, user_id=user.id, issuer=issuer)
    await outbox.emit(session, event_of(signed_in, data, subject=f"session/{stored.id}"))
    return started


async def record_failure(
    session: Session,
    caller: Caller,
    *,
    email: str,
    user_id: str | None,
    reason: FailureReason,
    issuer: str | None = None,
) -> None:
    """Leave the event of a refused sign-in, at `issuer` if not by password."""
    data = SignInFailed(tried_email=masked_email(email), reason=reason, issuer=issuer)
    subject = f"user/{user_id}" if user_id is not None else None
    await outbox.emit(session, event_of(caller, data, subject=subject, severity="warning"))


async def sign_out(session: Session, caller: Caller) -> bool:
    """End the caller's own session; False when it had ended already, which leaves no event. Raises `Conflict`."""
    session_id = caller.actor.session_id
    if session_id is None:
        raise Conflict("this token belongs to no session here; sign out at its issuer", code="no_session")
    return await _end(session, caller, session_id, reason="signed_out", action="sign_out")


async def refresh_session(session: Session, caller: Caller, token: str) -> StartedSession | ReusedToken | None:
    """Exchange a refresh token for the next one; None when it is unknown or its session has ended.

    A token that was used before means that somebody has a copy: the whole session ends (RFC 9700, 4.14.2).
    """
    used = await store.use_refresh_token(session, token_hash(token))
    if used is None:
        return None
    session_id, is_first_use = used
    if not is_first_use:
        await _end(session, caller, session_id, reason="refresh_token_reused", action="end_session")
        return ReusedToken(session_id=session_id)
    stored = await store.find_live(session, session_id)
    if stored is None:
        return None
    started = await _with_refresh_token(session, stored)
    data = SessionRefreshed(session_id=stored.id, user_id=stored.user_id)
    await outbox.emit(session, event_of(caller, data, subject=f"session/{stored.id}"))
    return started


def token_hash(token: str) -> bytes:
    """What is kept of a refresh token."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


async def _with_refresh_token(session: Session, stored: StoredSession) -> StartedSession:
    token = secrets.token_urlsafe(32)
    await store.append_refresh_token(session, token_hash(token), of=stored)
    return StartedSession(
        id=stored.id,
        user_id=stored.user_id,
        login_at=stored.login_at,
        expires_at=stored.expires_at,
        refresh_token=token,
    )


async def _end(
    session: Session,
    caller: Caller,
    session_id: str,
    *,
    reason: Literal["signed_out", "refresh_token_reused"],
    action: Literal["sign_out", "end_session"],
) -> bool:
    user_id = await store.end_session(session, session_id, reason=reason)
    if user_id is None:
        return False
    data = SessionEnded(session_id=session_id, user_id=user_id, reason=reason, action=action)
    severity = "error" if reason == "refresh_token_reused" else None
    await outbox.emit(session, event_of(caller, data, subject=f"session/{session_id}", severity=severity))
    return True


def _as(caller: Caller, user: User, *, session_id: str) -> Caller:
    """The same request, now that it is known who makes it."""
    actor = admin_actor(user_id=user.id, email=user.email, role=user.role, session_id=session_id)
    origin = caller.origin.model_copy(update={"username": user.email, "session_id": session_id})
    return replace(caller, actor=actor, origin=origin)
