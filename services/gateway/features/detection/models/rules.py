"""A rule: of which facts, of whom, how many within what time are a security event, and how grave it is."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from libs.common.errors import Conflict, Invalid, NotFound
from libs.common.events.security import SecuritySeverity
from services.gateway.facts import FactKind

MOST_RULES = 50
MOST_THRESHOLD = 10_000
MOST_WINDOW_SECONDS = 86_400
MOST_COOLDOWN_SECONDS = 86_400


class GroupBy(StrEnum):
    """Of whom facts are counted together. A fact that says nothing of it is not counted."""

    USER = "user"
    CLIENT = "client"
    SESSION = "session"
    ADDRESS = "address"
    SENDER_AND_REASON = "sender_and_reason"
    """Of one sender of messages, those that were refused for one reason."""


EVENT_TYPES = {
    FactKind.FAILED_LOGIN: "failed_login",
    FactKind.DENIED_REQUEST: "denied_request",
    FactKind.LIMIT_EXCEEDED: "rate_limit_exceeded",
    FactKind.TOKEN_REUSED: "token_reuse",
    FactKind.SESSION_USED: "impossible_travel",
    FactKind.TARGET_READ: "mass_read",
    FactKind.PRIVILEGE_CHANGED: "privilege_change",
    FactKind.MESSAGE_REFUSED: "message_refused",
}
"""What a security event about facts of a kind is called."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`threshold` facts of `kind` of one `group_by` within `window_seconds` raise an event of `severity`.

    What else happens within `cooldown_seconds` of it is counted in that event; then another one is raised.
    """

    name: str
    kind: FactKind
    group_by: GroupBy
    threshold: int
    window_seconds: int
    cooldown_seconds: int
    severity: SecuritySeverity
    description: str = ""
    enabled: bool = True
    is_builtin: bool = False
    version: int = 1
    created_at: datetime = field(default=datetime.min.replace(tzinfo=UTC), compare=False)
    updated_at: datetime = field(default=datetime.min.replace(tzinfo=UTC), compare=False)

    @property
    def event_type(self) -> str:
        """What its events are called."""
        return EVENT_TYPES[self.kind]


def check_cooldown(*, threshold: int, window_seconds: int, cooldown_seconds: int) -> None:
    """Raise 422 `invalid_cooldown` where a burst that goes on would raise an event for each of its facts."""
    if threshold > 1 and cooldown_seconds < window_seconds:
        raise Invalid(
            f"cooldown_seconds must be at least window_seconds ({window_seconds}) where threshold is above 1, "
            f"got {cooldown_seconds}",
            code="invalid_cooldown",
        )


def rule_not_found(name: str) -> NotFound:
    """The 404 of a rule."""
    return NotFound(f"no security rule {name}", code="rule_not_found")


def builtin_rule(name: str) -> Conflict:
    """The 409 of deleting a rule that belongs to Reeve."""
    return Conflict(f"the rule {name} is built in; switch it off instead", code="builtin_rule")


def _builtin(
    name: str, kind: FactKind, group_by: GroupBy, limits: tuple[int, int, int, SecuritySeverity], description: str
) -> Rule:
    threshold, window, cooldown, severity = limits
    return Rule(name, kind, group_by, threshold, window, cooldown, severity, description, is_builtin=True)


BUILTIN = (
    _builtin(
        "failed_logins_of_account", FactKind.FAILED_LOGIN, GroupBy.USER, (5, 300, 900, "medium"),
        "Five sign-ins to one account failed within five minutes, wherever they came from.",
    ),
    _builtin(
        "failed_logins_from_address", FactKind.FAILED_LOGIN, GroupBy.ADDRESS, (10, 300, 900, "high"),
        "Ten sign-ins from one address failed within five minutes, whichever the accounts.",
    ),
    _builtin(
        "denied_requests_of_user", FactKind.DENIED_REQUEST, GroupBy.USER, (10, 300, 900, "medium"),
        "An administrator asked ten times within five minutes for what their role denies.",
    ),
    _builtin(
        "denied_requests_of_client", FactKind.DENIED_REQUEST, GroupBy.CLIENT, (50, 300, 900, "medium"),
        "A platform service asked fifty times within five minutes for what its scopes deny.",
    ),
    _builtin(
        "denied_requests_from_address", FactKind.DENIED_REQUEST, GroupBy.ADDRESS, (50, 300, 900, "medium"),
        "Fifty requests from one address within five minutes had no token that holds, or no permission.",
    ),
    _builtin(
        "limits_exceeded_from_address", FactKind.LIMIT_EXCEEDED, GroupBy.ADDRESS, (10, 60, 900, "low"),
        "Ten requests from one address within a minute were over a limit.",
    ),
    _builtin(
        "token_reuse", FactKind.TOKEN_REUSED, GroupBy.SESSION, (1, 60, 60, "critical"),
        "A refresh token was used a second time: somebody has a copy. The session has ended.",
    ),
    _builtin(
        "session_in_two_networks", FactKind.SESSION_USED, GroupBy.SESSION, (2, 300, 3600, "high"),
        "One session was used in two networks within five minutes.",
    ),
    _builtin(
        "account_in_three_networks", FactKind.SESSION_USED, GroupBy.USER, (3, 900, 3600, "medium"),
        "One account was used in three networks within a quarter of an hour.",
    ),
    _builtin(
        "mass_reads_of_user", FactKind.TARGET_READ, GroupBy.USER, (300, 600, 3600, "high"),
        "An administrator read three hundred different things within ten minutes; an export counts as a hundred.",
    ),
    _builtin(
        "mass_reads_of_client", FactKind.TARGET_READ, GroupBy.CLIENT, (1000, 600, 3600, "high"),
        "A platform service read a thousand different things within ten minutes; an export counts as a hundred.",
    ),
    _builtin(
        "privilege_changes", FactKind.PRIVILEGE_CHANGED, GroupBy.USER, (1, 60, 60, "medium"),
        "Somebody gave rights away: a role, a custom role's permissions, a permission for a time, wide scopes.",
    ),
    _builtin(
        "refused_messages", FactKind.MESSAGE_REFUSED, GroupBy.SENDER_AND_REASON, (1, 60, 900, "medium"),
        "Somebody sent messages over the broker that they may not send, or that nobody can read.",
    ),
)  # fmt: skip
"""Made once, at the first start that knows them; what an operator makes of one stays."""
