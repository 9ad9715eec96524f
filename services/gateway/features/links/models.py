"""What a link is: for what, for how long, and what its token looks like. Pure but for its randomness."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from libs.common.errors import Gone, RateLimited

ACTIVATION_SECONDS = 72 * 3600
RESET_SECONDS = 3600
MOST_IN_AN_HOUR = 3
"""Links of one purpose to one account within an hour: nobody's mailbox is flooded. A reset link lives as long as that, so
whoever was sent the most still has one that works."""


class Purpose(StrEnum):
    """What a link is good for."""

    ACTIVATION = "activation"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a purpose, no password

    @property
    def seconds(self) -> int:
        """How long such a link works."""
        return ACTIVATION_SECONDS if self is Purpose.ACTIVATION else RESET_SECONDS

    @property
    def page(self) -> str:
        """The page of the frontend that takes such a link, below the public URL."""
        return "activate" if self is Purpose.ACTIVATION else "reset-password"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a link is sent to."""

    user_id: str
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is stored, which is without its token."""

    id: str
    user_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """What makes a link work: 32 random bytes in URL-safe base64. It is shown to nobody but the recipient."""

    text: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def hash(self) -> bytes:
        """What is kept of it: its SHA-256."""
        return hash_of(self.text)

    def url(self, public_url: str, purpose: Purpose) -> str:
        """The link. The token is behind a `#`: a browser sends that to no server and in no `Referer` (RFC 3986, 3.5)."""
        return f"{public_url}/{purpose.page}#token={self.text}"


def hash_of(token: str) -> bytes:
    """The SHA-256 of a token's text, whatever was sent as one."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def link_expired() -> Gone:
    """The refusal of a link that was used, replaced or ended, that is too old, or that never was: always the same."""
    return Gone("this link works no more; ask for another one", code="link_expired")


def too_many_links() -> RateLimited:
    """The refusal of one link more to the same account."""
    return RateLimited(
        f"this account was sent {MOST_IN_AN_HOUR} links within an hour, which is the most",
        code="too_many_links",
        retry_after_seconds=600,
    )
