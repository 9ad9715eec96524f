"""Who acts: the caller as the gateway established it and as services receive it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Origin(BaseModel):
    """Who asked, from where and in which request. Absent members are unknown, never guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    session_id: str | None = None
    undoes: str | None = None
    """The audit entry whose deed this request takes back, as the request says."""


class Level(StrEnum):
    """The OAuth permission level of a caller, least first in `LEVELS`."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class ActorType(StrEnum):
    """What kind of caller acts."""

    ADMIN = "admin"
    CLIENT = "client"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever acts, with what they may do. Immutable; a change of rights makes a new one."""

    id: str
    type: ActorType
    username: str
    role: str | None
    level: Level
    permissions: frozenset[str]
    session_id: str | None = None
    client_id: str | None = None
    lapses_at: float | None = None
    """When the first of the permissions ends that are held for a time, in seconds since 1970; None without any."""
    permission_epoch: int = 0
    """Larger after each change of what the actor may do."""
    issuer: str | None = None
    """Who vouches for them, when that is not Reeve itself."""
    proved_at: datetime | None = None
    """When the owner of the session last proved who they are, where it is one of Reeve's own."""

    def may(self, permission: str) -> bool:
        """Whether `<resource>:<verb>` is held, directly or through `*` or `<resource>:*`."""
        held = self.permissions
        return permission in held or "*" in held or f"{permission.partition(':')[0]}:*" in held


@dataclass(frozen=True, slots=True)
class Caller:
    """One request's actor together with where the request came from."""

    actor: Actor
    origin: Origin
    correlation_id: str
    traceparent: str | None = None
    observed: str | None = None
    """The permission that the actor lacks, where denials are only observed and the request was let through."""
