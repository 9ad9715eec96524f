"""Signing in: what is decided, apart from everything it takes to find out."""

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from services.gateway.access.addresses import network_of
from services.gateway.features.users.models import User

MOST_DEVICE_NAME = 200
_VERSIONS = re.compile(r"/?[0-9]+(?:[._][0-9]+)*")

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
class Device:
    """From where somebody signs in: a network, and a program without its version, which changes every month."""

    network: str
    name: str

    @property
    def hash(self) -> bytes:
        """32 bytes by which it is recognized: the SHA-256 of both texts."""
        return sha256(f"reeve device v1\0{self.network}\0{self.name}".encode("utf-8", "surrogatepass")).digest()


def device_of(address: str | None, user_agent: str | None) -> Device:
    """The device of a request; the name is a plain line of at most 200 characters."""
    words = _VERSIONS.sub("", user_agent or "").split()
    return Device(network_of(address), " ".join(words)[:MOST_DEVICE_NAME] or "unknown")


def is_news(*, is_known: bool, has_history: bool) -> bool:
    """Whether a sign-in from a device is worth a notice: not the first ever, which is new in any case."""
    return has_history and not is_known


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
