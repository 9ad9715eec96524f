"""A session as administrators see it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class UserSession:
    """One session. `is_active` says whether its tokens work now: nobody ended it, and it is within its limits."""

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
