"""What may be asked of the log, and how an entry is answered."""

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from libs.common.events.envelope import rfc3339
from services.audit.store.search import EXACT, Filters

Outcome = Literal["success", "denied", "failure"]
Severity = Literal["info", "warning", "error", "critical"]


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError("must be an address or a CIDR network, such as 192.0.2.7 or 192.0.2.0/24") from None


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold U+0000")
    return text


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Text = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]
Network = Annotated[str, Field(max_length=64), AfterValidator(_network)]
Moment = Annotated[datetime, AfterValidator(_aware)]


class RangeQuery(BaseModel):
    """A range of time: from (inclusive) and to (exclusive)."""

    model_config = ConfigDict(extra="forbid")

    date_from: Moment | None = None
    date_to: Moment | None = None


class SearchQuery(RangeQuery):
    """Filters; a repeated one means any of its values."""

    action: Annotated[list[Text], Field(max_length=50)] = []
    target_type: Annotated[list[Text], Field(max_length=50)] = []
    target_id: Annotated[list[Text], Field(max_length=50)] = []
    admin_user_id: Annotated[list[Text], Field(max_length=50)] = []
    outcome: list[Outcome] = []
    severity: list[Severity] = []
    ip_address: Annotated[list[Network], Field(max_length=20)] = []
    source: Annotated[list[Text], Field(max_length=50)] = []
    request_id: Annotated[list[Text], Field(max_length=50)] = []
    operation_id: Annotated[list[Text], Field(max_length=50)] = []
    q: Annotated[str | None, Field(max_length=200), AfterValidator(lambda text: text and _storable(text))] = None
    sort: Literal["created_at", "-created_at"] = "-created_at"
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    skip: Annotated[int, Field(ge=0)] = 0
    cursor: Annotated[str | None, Field(max_length=2048)] = None

    def filters(self) -> Filters:
        """What is sought, for the store."""
        exact = {name: list(getattr(self, name)) for name in EXACT if getattr(self, name)}
        return Filters(
            exact=exact, networks=self.ip_address, date_from=self.date_from, date_to=self.date_to, words=self.q
        )

    def named(self) -> dict[str, Any]:
        """The filters by name, for a cursor to be bound to."""
        return self.model_dump(mode="json", exclude={"limit", "skip", "cursor", "sort"}, exclude_defaults=True)


def entry_body(row: Any) -> dict[str, Any]:
    """An entry as the API answers it, ready for orjson; stored JSON goes through as it is."""
    body = dict(row)
    body["details"] = orjson.Fragment(row["details"])
    body["changes"] = orjson.Fragment(row["changes"]) if row["changes"] is not None else None
    body["created_at"] = rfc3339(row["created_at"])
    body["recorded_at"] = rfc3339(row["recorded_at"])
    return body
