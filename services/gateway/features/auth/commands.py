"""What signing in and out does, and the events it leaves."""

import secrets
from dataclasses import replace
from hashlib import sha256
from typing import Literal

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.errors import Conflict
from libs.common.events.users import (
    DeviceFirstSeen,
    PasswordChanged,
    SessionProved,
    SessionRefreshed,
    SessionStarted,
    SignInFailed,
)
from libs.common.identity import Caller
from libs.common.ids import new_id
from services.gateway.access.devices import device_of, is_news
from services.gateway.access.endings import end_session, end_sessions_of, end_surplus_of
from services.gateway.access.events import event_of
from services.gateway.access.lifetimes import Lifetimes
from services.gateway.access.sessions import admin_actor
from services.gateway.facts import FactKind
from services.gateway.features.attempts import commands as attempts
from services.gateway.features.auth import store
from services.gateway.features.auth.models import (
    Browser,
    Checked,
    FailureReason,
    OtpRequired,
    ReusedToken,
    StartedSession,
)
from services.gateway.features.auth.store import StoredSession
from services.gateway.features.factors.commands import SecondFactors
from services.gateway.features.links import store as links_store
from services.gateway.features.notices.commands import note_notice
from services.gateway.features.sessions import store as sessions_store
from services.gateway.features.users.models import User, masked_email
from services.gateway.sightings import fact_of
from services.gateway.store import note


async def sign_in(
    session: Session,
    caller: Caller,
    checked: Checked,
    factors: SecondFactors,
    *,
    otp: str | None,
    seconds: int,
    browser: Browser | None = None,
) -> StartedSession | FailureReason | OtpRequired:
    """Start a session of `seconds` if the password held and the second factor, where there is one, does.

    A failure is recorded and counted; a code that lacks is neither.
    """
    user, failure = checked.user, checked.failure
    if user is not None and failure is None:
        proof = await factors.prove(session, caller, user_id=user.id, code=otp)
        if proof == "missing":
            return "otp_required"
        if proof != "wrong":
            started = await start_session(
                session,
                caller,
                user,
                proved_hash=checked.proved_hash,
                new_password_hash=checked.new_password_hash,
                seconds=seconds,
                browser=browser,
            )
            if started is not None:
                await attempts.forgive(session, email=checked.email, address=caller.origin.ip_address)
                return started
        failure = "wrong_code" if proof == "wrong" else "inactive"
    reason = failure or "unknown_user"
    user_id = user.id if user is not None else None
    await record_failure(session, caller, email=checked.email, user_id=user_id, reason=reason)
    await attempts.count_failure(session, caller, email=checked.email, user_id=user_id)
    return reason


async def start_session(
    session: Session,
    caller: Caller,
    user: User,
    *,
    seconds: int,
    proved_hash: str | None,
    new_password_hash: str | None = None,
    issuer: str | None = None,
    browser: Browser | None = None,
) -> StartedSession | None:
    """A session for a user who proved who they are; None when their account was switched off, or their password
    changed, meanwhile.

    `proved_hash` is what their password was checked against, None when they proved it by the word of `issuer`. With a
    `browser` it is one by cookie, and the one that the browser was in ends, whosever it is and whoever planted it.
    """
    device = device_of(caller.origin.ip_address, caller.origin.user_agent)
    is_known, has_history = await store.recognize_device(session, user.id, device.hash)
    stored = await store.append_session(
        session,
        new_id(),
        user_id=user.id,
        proved_hash=proved_hash,
        ip_address=caller.origin.ip_address,
        user_agent=caller.origin.user_agent,
        device_hash=device.hash,
        seconds=seconds,
    )
    if stored is None:
        return None
    await store.note_sign_in(session, user.id, password_hash=new_password_hash)
    await store.purge_refresh_tokens(session)
    replaced = browser.session_id if browser is not None else None
    started = await _with_refresh_token(session, stored) if browser is None else _by_cookie(stored, replaced)
    signed_in = _as(caller, user, session_id=stored.id)
    data = SessionStarted(session_id=stored.id, user_id=user.id, issuer=issuer)
    events = [event_of(signed_in, data, subject=f"session/{stored.id}")]
    if is_news(is_known=is_known, has_history=has_history):
        seen = DeviceFirstSeen(user_id=user.id, session_id=stored.id, address_prefix=device.network, device=device.name)
        events.append(event_of(signed_in, seen, subject=f"user/{user.id}", severity="warning"))
        await note_notice(session, signed_in, user_id=user.id, kind="new_device")
    await outbox.emit(session, *events)
    if replaced is not None:
        await end_session(session, signed_in, replaced, reason="displaced")
    await end_surplus_of(session, signed_in, user.id)
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
    details = {"reason": reason, "tried_email": data.tried_email}
    await note(session, fact_of(caller, FactKind.FAILED_LOGIN, user_id=user_id, details=details))


async def sign_out(session: Session, caller: Caller) -> bool:
    """End the caller's own session; False when it had ended already, which leaves no event. Raises `Conflict`."""
    session_id = caller.actor.session_id
    if session_id is None:
        raise _no_session()
    return await end_session(session, caller, session_id, reason="signed_out")


async def refresh_session(
    session: Session, caller: Caller, token: str, *, lifetimes: Lifetimes
) -> StartedSession | ReusedToken | None:
    """Exchange a refresh token for the next one; None when it is unknown or its session has ended.

    A token that was used before means that somebody has a copy: the whole session ends (RFC 9700, 4.14.2).
    """
    used = await store.use_refresh_token(session, token_hash(token))
    if used is None:
        return None
    session_id, is_first_use = used
    if not is_first_use:
        await end_session(session, caller, session_id, reason="refresh_token_reused")
        owner = await sessions_store.find_owner(session, session_id)
        await note(session, fact_of(caller, FactKind.TOKEN_REUSED, user_id=owner, session_id=session_id))
        return ReusedToken(session_id=session_id)
    stored = await store.use_session(session, session_id, lifetimes=lifetimes)
    if stored is None:
        return None
    started = await _with_refresh_token(session, stored)
    data = SessionRefreshed(session_id=stored.id, user_id=stored.user_id)
    await outbox.emit(session, event_of(caller, data, subject=f"session/{stored.id}"))
    return started


async def change_password(session: Session, caller: Caller, *, old_hash: str, new_hash: str) -> bool:
    """Give the caller another password, end their other sessions and links; False when it was changed meanwhile."""
    user_id = caller.actor.id
    if not await store.replace_password_hash(session, user_id, old=old_hash, new=new_hash):
        return False
    await links_store.end_all(session, user_id)
    spared = caller.actor.session_id
    ended = await end_sessions_of(session, caller, user_id, reason="password_changed", spared=spared)
    data = PasswordChanged(user_id=user_id, sessions_ended=len(ended))
    await outbox.emit(session, event_of(caller, data, subject=f"user/{user_id}", severity="warning"))
    await note_notice(session, caller, user_id=user_id, kind="password_changed")
    return True


async def step_up(
    session: Session, caller: Caller, factors: SecondFactors, *, proved_hash: str, otp: str | None
) -> StoredSession | OtpRequired | Literal["wrong_code"] | None:
    """Note the caller's fresh proof in their session; None when session or password hold no longer. Raises `Conflict`."""
    if caller.actor.session_id is None:
        raise _no_session()
    match await factors.prove(session, caller, user_id=caller.actor.id, code=otp):
        case "missing":
            return "otp_required"
        case "wrong":
            return "wrong_code"
        case _:
            pass
    stored = await store.note_proof(session, caller.actor.session_id, proved_hash=proved_hash)
    if stored is not None:
        data = SessionProved(session_id=stored.id, user_id=stored.user_id)
        await outbox.emit(session, event_of(caller, data, subject=f"session/{stored.id}"))
    return stored


def token_hash(token: str) -> bytes:
    """What is kept of a refresh token."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


async def _with_refresh_token(session: Session, stored: StoredSession) -> StartedSession:
    token = secrets.token_urlsafe(32)
    await store.append_refresh_token(session, token_hash(token), of=stored)
    return StartedSession(
        id=stored.id,
        user_id=stored.user_id,
        proved_at=stored.proved_at,
        expires_at=stored.expires_at,
        permission_epoch=stored.permission_epoch,
        refresh_token=token,
    )


def _by_cookie(stored: StoredSession, replaced: str | None) -> StartedSession:
    return StartedSession(
        id=stored.id,
        user_id=stored.user_id,
        proved_at=stored.proved_at,
        expires_at=stored.expires_at,
        permission_epoch=stored.permission_epoch,
        refresh_token=None,
        replaced=replaced,
    )


def _no_session() -> Conflict:
    return Conflict("this token belongs to no session here, but to its issuer", code="no_session")


def _as(caller: Caller, user: User, *, session_id: str) -> Caller:
    """The same request, now that it is known who makes it."""
    actor = admin_actor(user_id=user.id, email=user.email, role=user.role, rights=user.rights, session_id=session_id)
    origin = caller.origin.model_copy(update={"username": user.email, "session_id": session_id})
    return replace(caller, actor=actor, origin=origin)
