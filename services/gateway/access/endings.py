"""How sessions end before their time: rows and events in the caller's transaction.

Whoever ends sessions evicts them afterwards (`AccessControl.evict`); other gateways hear it from the events.
"""

from collections.abc import Sequence
from typing import Literal

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.events.users import SessionEnded
from libs.common.identity import Caller
from services.gateway.access import store
from services.gateway.access.events import event_of
from services.gateway.access.store import EndedSession

Reason = Literal["signed_out", "refresh_token_reused", "revoked", "password_changed", "displaced", "ended_by_issuer"]
MOST_SESSIONS = 200
"""Live sessions of one user: past it the oldest end."""
_SEVERITIES = {"refresh_token_reused": "error", "revoked": "warning", "password_changed": "warning"}


async def end_session(session: Session, caller: Caller, session_id: str, *, reason: Reason) -> bool:
    """End one session; False when it had ended already, which leaves no event."""
    ended = await store.end_sessions(session, reason=reason, session_id=session_id)
    await _tell(session, caller, ended, reason=reason)
    return bool(ended)


async def end_sessions_of(
    session: Session,
    caller: Caller,
    user_id: str,
    *,
    reason: Reason,
    spared: str | None = None,
    causation_id: str | None = None,
) -> Sequence[EndedSession]:
    """End all sessions of a user but the `spared` one, each with its event."""
    ended = await store.end_sessions(session, reason=reason, user_id=user_id, spared=spared)
    await _tell(session, caller, ended, reason=reason, causation_id=causation_id)
    return ended


async def end_surplus_of(session: Session, caller: Caller, user_id: str) -> Sequence[EndedSession]:
    """End the oldest sessions of a user who has more than `MOST_SESSIONS`, each with its event."""
    ended = await store.end_oldest_sessions(session, user_id, kept=MOST_SESSIONS, reason="displaced")
    await _tell(session, caller, ended, reason="displaced")
    return ended


async def _tell(
    session: Session,
    caller: Caller,
    ended: Sequence[EndedSession],
    *,
    reason: Reason,
    causation_id: str | None = None,
) -> None:
    action: Literal["sign_out", "end_session"] = "sign_out" if reason == "signed_out" else "end_session"
    events = [
        event_of(
            caller,
            SessionEnded(session_id=one.id, user_id=one.user_id, reason=reason, action=action),
            subject=f"session/{one.id}",
            severity=_SEVERITIES.get(reason),
            causation_id=causation_id,
        )
        for one in ended
    ]
    if events:
        await outbox.emit(session, *events)
