"""One operation on many accounts, and what became of each: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from libs.common.errors import ReeveError
from services.gateway.features.approvals.models import Waiting

MOST_IDS = 500


class Operation(StrEnum):
    """What may be done to many accounts at once."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    SET_ROLE = "set_role"
    REVOKE_SESSIONS = "revoke_sessions"

    @property
    def needs(self) -> str:
        """The permission of the same thing done to one account."""
        return "sessions:revoke" if self is Operation.REVOKE_SESSIONS else "users:write"

    @property
    def action(self) -> str:
        """What the audit log calls the same thing done to one account."""
        match self:
            case Operation.ACTIVATE | Operation.DEACTIVATE:
                return "change_user_status"
            case Operation.SET_ROLE:
                return "change_user_role"
            case Operation.REVOKE_SESSIONS:
                return "revoke_sessions"


@dataclass(frozen=True, slots=True)
class BulkChange:
    """What is asked for: `role` goes with `set_role` and only with it, `reason` with switching on and off."""

    ids: Sequence[str]
    operation: Operation
    role: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one account: changed, waiting for an approval, left as it was already, or refused for a reason."""

    id: str
    is_changed: bool = False
    waiting: Waiting | None = None
    refusal: ReeveError | None = None

    @property
    def status(self) -> int:
        """The status that the same thing done to this account alone would have had."""
        if self.refusal is not None:
            return self.refusal.status
        return 202 if self.waiting is not None else 200
