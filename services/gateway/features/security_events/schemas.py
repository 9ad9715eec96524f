"""Bodies about security events."""

from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from libs.common.events.security import SecuritySeverity
from services.gateway.features.schemas import ListQuery, ListResponse, Moment
from services.gateway.features.security_events.models import SEVERITIES, Overview, SecurityEvent
from services.gateway.features.security_events.store import Search


def _canonical(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("must be an IP address") from None


class SecurityEventFilters(BaseModel):
    """What is sought; several values of `event_type` or `severity` mean any of them."""

    model_config = ConfigDict(extra="forbid")

    event_type: Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=20)] = []
    severity: Annotated[list[SecuritySeverity], Field(max_length=4)] = []
    resolved: bool | None = None
    user_id: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    ip_address: Annotated[str, Field(max_length=45), AfterValidator(_canonical)] | None = None
    rule: Annotated[str | None, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = None
    date_from: Moment | None = None
    date_to: Moment | None = None

    def sought(self) -> Search:
        """The search for it."""
        return Search(
            event_types=self.event_type, severities=self.severity, resolved=self.resolved, user_id=self.user_id,
            ip_address=self.ip_address, rule=self.rule, date_from=self.date_from, date_to=self.date_to,
        )  # fmt: skip


class SecurityEventsQuery(SecurityEventFilters, ListQuery):
    """Filters of the list; a repeated `event_type` or `severity` means any of them."""


class ResolveSecurityEventRequest(BaseModel):
    """What came of it."""

    model_config = ConfigDict(extra="forbid")

    notes: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*\S[^\x00]*$")]


class SecurityEventResponse(BaseModel):
    """A security event. `count` is how often its threshold was reached since `created_at`, up to `last_at`.

    `subject` is whom its rule counted it for: a user, a client, a session or an address. `told_by` says how
    the notifications service learnt of a critical one: `bus` or `direct`.
    """

    id: str
    event_type: str
    severity: SecuritySeverity
    rule: str
    subject: str
    count: int
    user_id: str | None
    ip_address: str | None
    user_agent: str | None
    details: dict[str, Any]
    resolved: bool
    resolved_by: str | None
    resolved_at: datetime | None
    notes: str | None
    created_at: datetime
    last_at: datetime
    told_by: str | None

    @classmethod
    def of(cls, event: SecurityEvent) -> Self:
        """From the stored event."""
        return cls.model_validate(event, from_attributes=True)


class SecurityEventsResponse(ListResponse):
    """One page of security events, newest first."""

    events: list[SecurityEventResponse]


class HourResponse(BaseModel):
    """How many events were raised in the hour that begins at `hour`."""

    hour: datetime
    count: int


class AddressResponse(BaseModel):
    """How many events an address was in."""

    ip_address: str
    count: int


class UserResponse(BaseModel):
    """How many events a user was in."""

    user_id: str
    count: int


class SecurityOverviewResponse(BaseModel):
    """What is open now, and what was raised in the last `hours`. `untold` are critical events of which the
    notifications service could not be told yet."""

    hours: int
    open: int
    open_by_severity: dict[str, int]
    open_by_type: dict[str, int]
    raised: int
    raised_by_type: dict[str, int]
    raised_by_hour: list[HourResponse]
    top_addresses: list[AddressResponse]
    top_users: list[UserResponse]
    untold: int
    latest: list[SecurityEventResponse]

    @classmethod
    def of(cls, found: Overview, latest: list[SecurityEvent], *, hours: int) -> Self:
        """From the counts and the newest events."""
        return cls(
            hours=hours,
            open=sum(found.open_by_severity.values()),
            open_by_severity={name: found.open_by_severity.get(name, 0) for name in SEVERITIES},
            open_by_type=dict(found.open_by_type),
            raised=sum(found.raised_by_type.values()),
            raised_by_type=dict(found.raised_by_type),
            raised_by_hour=[HourResponse(hour=hour, count=count) for hour, count in found.raised_by_hour],
            top_addresses=[AddressResponse(ip_address=one, count=count) for one, count in found.top_addresses],
            top_users=[UserResponse(user_id=one, count=count) for one, count in found.top_users],
            untold=found.untold,
            latest=[SecurityEventResponse.of(one) for one in latest],
        )
