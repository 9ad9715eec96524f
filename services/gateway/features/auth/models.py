"""Signing in: what is decided, apart from everything it takes to find out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

FailureReason = Literal[
    "unknown_user", "wrong_password", "inactive", "awaits_activation",
    "invalid_state", "provider_refused", "invalid_id_token", "no_role", "account_exists",
]  # fmt: skip


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
class StartedSession:
    """A session with the refresh token that was just made for it."""

    id: str
    user_id: str
    login_at: datetime
    expires_at: datetime
    refresh_token: str


@dataclass(frozen=True, slots=True)
class ReusedToken:
    """A refresh token that was used before: somebody has a copy, so its session was ended."""

    session_id: str
