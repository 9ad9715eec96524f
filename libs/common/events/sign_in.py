"""Messages about how people get in: locks after failures, second factors, addresses. No code or secret ever appears."""

from typing import Any, ClassVar, Literal

from libs.common.events.catalog import Change, MessageData

_ID = "0199a0c0-0000-7000-8000-000000000001"


class SignInLocked(MessageData):
    """So many sign-ins failed that the next ones are refused for some time: from one place, or to one account."""

    TYPE: ClassVar[str] = "reeve.sign_in.locked.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "lock_sign_in"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "tried_email": "a***@example.com", "scope": "place", "failures": 5, "seconds": 30,
    }  # fmt: skip

    user_id: str | None
    tried_email: str
    scope: Literal["place", "account"]
    failures: int
    seconds: int


class FactorEnrolled(MessageData):
    """An administrator signs in with a second factor from now on."""

    TYPE: ClassVar[str] = "reeve.second_factor.enrolled.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "confirm_second_factor"
    EXAMPLE: ClassVar[dict[str, Any]] = {"user_id": _ID}

    user_id: str


class FactorRemoved(MessageData):
    """An administrator signs in without a second factor from now on."""

    TYPE: ClassVar[str] = "reeve.second_factor.removed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "remove_second_factor"
    EXAMPLE: ClassVar[dict[str, Any]] = {"user_id": _ID}

    user_id: str


class RecoveryCodeUsed(MessageData):
    """Somebody signed in with a recovery code in place of a second factor."""

    TYPE: ClassVar[str] = "reeve.recovery_code.used.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "use_recovery_code"
    EXAMPLE: ClassVar[dict[str, Any]] = {"user_id": _ID, "codes_left": 9}

    user_id: str
    codes_left: int


class IpRulesChanged(MessageData):
    """From now on other addresses may call."""

    TYPE: ClassVar[str] = "reeve.ip_rules.changed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "change_ip_rules"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "version": 2, "changes": {"deny": {"old": [], "new": ["192.0.2.0/24"]}},
    }  # fmt: skip

    version: int
    changes: dict[str, Change]
