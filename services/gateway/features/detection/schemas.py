"""Bodies about detection rules."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from libs.common.events.security import SecuritySeverity
from services.gateway.facts import FactKind
from services.gateway.features.detection.models.rules import (
    MOST_COOLDOWN_SECONDS,
    MOST_THRESHOLD,
    MOST_WINDOW_SECONDS,
    GroupBy,
    Rule,
    check_cooldown,
)
from services.gateway.features.detection.models.windows import Episode
from services.gateway.features.detection.store import KEPT_HOURS
from services.gateway.features.schemas import ListResponse


class RuleRequest(BaseModel):
    """A rule as it shall be: `threshold` facts of `kind` of one `group_by` within `window_seconds`.

    What follows within `cooldown_seconds` is counted in the same event; where `threshold` is above 1, that is at least
    `window_seconds`.
    """

    model_config = ConfigDict(extra="forbid")

    kind: FactKind
    group_by: GroupBy
    threshold: Annotated[int, Field(ge=1, le=MOST_THRESHOLD, strict=True)]
    window_seconds: Annotated[int, Field(ge=1, le=MOST_WINDOW_SECONDS, strict=True)]
    cooldown_seconds: Annotated[int, Field(ge=0, le=MOST_COOLDOWN_SECONDS, strict=True)]
    severity: SecuritySeverity
    enabled: Annotated[bool, Field(strict=True)] = True
    description: Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""

    def rule(self, name: str) -> Rule:
        """The rule of this name. Raises 422 `invalid_cooldown`."""
        check_cooldown(
            threshold=self.threshold, window_seconds=self.window_seconds, cooldown_seconds=self.cooldown_seconds
        )
        return Rule(
            name=name, kind=self.kind, group_by=self.group_by, threshold=self.threshold,
            window_seconds=self.window_seconds, cooldown_seconds=self.cooldown_seconds, severity=self.severity,
            description=self.description, enabled=self.enabled,
        )  # fmt: skip


class RuleResponse(BaseModel):
    """A rule. `event_type` is what its events are called."""

    name: str
    kind: FactKind
    event_type: str
    group_by: GroupBy
    threshold: int
    window_seconds: int
    cooldown_seconds: int
    severity: SecuritySeverity
    enabled: bool
    description: str
    is_builtin: bool
    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, rule: Rule) -> Self:
        """From the stored rule."""
        return cls.model_validate(rule, from_attributes=True)


class RulesResponse(ListResponse):
    """All rules, by name."""

    rules: list[RuleResponse]


class DryRunRequest(BaseModel):
    """A rule to be tried, and on how many hours of the past."""

    model_config = ConfigDict(extra="forbid")

    rule: RuleRequest
    hours: Annotated[int, Field(ge=1, le=KEPT_HOURS, strict=True)]


class FoundResponse(BaseModel):
    """One event that the rule would have raised."""

    subject: str
    created_at: datetime
    last_at: datetime
    count: int

    @classmethod
    def of(cls, found: Episode) -> Self:
        """From what a trial found."""
        return cls(subject=found.group, created_at=found.began_at, last_at=found.last_at, count=found.count)


class DryRunResponse(BaseModel):
    """What the rule would have raised since `since`, had it begun then: `total` events, of which `events` are the last
    200, newest first. `facts` is how many it looked at."""

    since: datetime
    facts: int
    total: int
    event_type: str
    severity: SecuritySeverity
    events: list[FoundResponse]
