"""Signing in: what is decided, apart from everything it takes to find out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.gateway.features.users.models import User

FailureReason = Literal[
    "unknown_user", "wrong_password", "inactive", "awaits_activation", "wrong_code",
    "invalid_state", "provider_refused", "invalid_id_token", "no_role", "account_exists",
]  # fmt: skip

OtpRequired = Literal["otp_required"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the password of a sign-in attempt came to: for whom, and why it failed if it did."""

    email: str
    user: User | None
    failure: FailureReason | None
    proved_hash: str | None = None
    new_password_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """As much of an account as signing in looks at."""

    is_active: bool
    has_password: bool


def sign_in_failure(account: Account | None, *, password_is_right: bool) -> FailureReason | None:
    """Why a sign-in is refused; None when it is not. Only the audit log learns the reason, never the caller."""
    if account is None:
        return "unknown_user"
    if not account.has_password:
        return "awaits_activation"
    if not password_is_right:
        return "wrong_password"
    return None if account.is_active else "inactive"


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser that wants to be signed in by cookie."""

    session_id: str | None = None
    """The session whose cookie it has already."""


@dataclass(frozen=True, slots=True)
class StartedSession:
    """A session that just began or was refreshed, with the refresh token that was just made for it."""

    id: str
    user_id: str
    proved_at: datetime
    """When its owner last proved who they are."""
    expires_at: datetime
    permission_epoch: int
    refresh_token: str | None
    """None for a session by cookie, which needs none."""
    replaced: str | None = None
    """The session that the browser was in before, which was ended."""


@dataclass(frozen=True, slots=True)
class ReusedToken:
    """A refresh token that was used before: somebody has a copy, so its session was ended."""

    session_id: str
