"""Bodies about sessions."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel

from services.gateway.features.schemas import ListResponse
from services.gateway.features.sessions.models import UserSession


class SessionResponse(BaseModel):
    """A session. `is_active`: its tokens work now. `is_current`: it is the one of this request."""

    id: str
    user_id: str
    ip_address: str | None
    user_agent: str | None
    login_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    logout_at: datetime | None
    end_reason: str | None
    is_active: bool
    is_current: bool

    @classmethod
    def of(cls, session: UserSession, *, current: str | None) -> Self:
        """From the stored session; `current` is the id of the asker's own."""
        return cls(
            id=session.id, user_id=session.user_id, ip_address=session.ip_address, user_agent=session.user_agent,
            login_at=session.login_at, last_seen_at=session.last_seen_at, expires_at=session.expires_at,
            logout_at=session.logout_at, end_reason=session.end_reason, is_active=session.is_active,
            is_current=session.id == current,
        )  # fmt: skip


class SessionsResponse(ListResponse):
    """One page of sessions."""

    sessions: list[SessionResponse]
