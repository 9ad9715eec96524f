"""What the detection of attacks judges: single facts about requests and changes. Pure.

A fact commits together with what it tells of, so none is lost or doubled by a restart or a repetition. Most
requests leave none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FactKind(StrEnum):
    """What a fact tells."""

    FAILED_LOGIN = "failed_login"
    DENIED_REQUEST = "denied_request"
    LIMIT_EXCEEDED = "limit_exceeded"
    TOKEN_REUSED = "token_reused"  # noqa: S105 - a kind of fact
    SESSION_USED = "session_used"
    """A session, or an account, was used in the network that `key` names; told once a minute by each gateway."""
    TARGET_READ = "target_read"
    """Somebody read what `key` names; told once a minute by each gateway. An export weighs as many reads."""
    PRIVILEGE_CHANGED = "privilege_changed"
    MESSAGE_REFUSED = "message_refused"
    """A service refused messages of the broker's user that `client_id` names, as many as it weighs; told once a minute."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact. Facts of one kind that bear the same `key` are counted once, those without a key each."""

    kind: FactKind
    user_id: str | None = None
    client_id: str | None = None
    session_id: str | None = None
    place: str | None = None
    """The address as it is counted: itself in IPv4, its /64 in IPv6."""
    ip_address: str | None = None
    user_agent: str | None = None
    key: str | None = None
    weight: int = 1
    details: Mapping[str, object] = field(default_factory=dict)
