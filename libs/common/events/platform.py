"""The generic events that any platform may send, and that the first notification rules know.

Each documents the members that the rules read; a platform may add members as it needs.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, StrictInt, StringConstraints

from libs.common.events.catalog import MessageData

PlatformId = Annotated[str, StringConstraints(min_length=1, max_length=200)] | StrictInt
Name = Annotated[str, StringConstraints(max_length=500)]
Story = Annotated[str, StringConstraints(max_length=10_000)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class PlatformData(MessageData):
    """What every generic platform event may say: which store, which job, what went wrong."""

    model_config = ConfigDict(frozen=True, extra="allow")

    SOURCE: ClassVar[str] = "*"

    # A platform's own member of this name is its own affair.
    origin: Any = None
    store_id: PlatformId | None = None
    store_name: Name | None = None
    job_id: PlatformId | None = None
    error_message: Story | None = None


class ImportFailed(PlatformData):
    """An import ended without a result."""

    TYPE: ClassVar[str] = "platform.import.failed.v1"
    ACTION: ClassVar[str] = "platform.import.failed.v1"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "store_id": 12, "store_name": "Rose & Co", "job_id": 4711, "error_message": "line 17: price is not a number",
    }  # fmt: skip


class ImportCompleted(PlatformData):
    """An import ended; `errors_count` of its lines were left out."""

    TYPE: ClassVar[str] = "platform.import.completed.v1"
    ACTION: ClassVar[str] = "platform.import.completed.v1"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "store_id": 12, "store_name": "Rose & Co", "job_id": 4711, "imported_count": 480, "errors_count": 7,
    }  # fmt: skip

    errors_count: Count = 0
    imported_count: Count | None = None


class OrderSyncFailed(PlatformData):
    """Orders could not be fetched from, or told to, another system."""

    TYPE: ClassVar[str] = "platform.order_sync.failed.v1"
    ACTION: ClassVar[str] = "platform.order_sync.failed.v1"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "store_id": 12, "store_name": "Rose & Co", "job_id": 4712, "error_message": "the marketplace answers 503",
    }  # fmt: skip


class OrderException(PlatformData):
    """An order needs a person: unmatched products, a payment that does not fit."""

    TYPE: ClassVar[str] = "platform.order.exception.v1"
    ACTION: ClassVar[str] = "platform.order.exception.v1"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "store_id": 12, "store_name": "Rose & Co", "order_id": "R-2026-0001", "exception_type": "unmatched_products",
        "exception_count": 2, "error_message": "2 products are unknown",
    }  # fmt: skip

    order_id: PlatformId | None = None
    exception_type: Name | None = None
    exception_count: Count | None = None


class CriticalError(PlatformData):
    """A part of the platform does not work any more."""

    TYPE: ClassVar[str] = "platform.error.critical.v1"
    ACTION: ClassVar[str] = "platform.error.critical.v1"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "error_type": "database", "error_message": "the primary does not answer", "system": "orders",
    }  # fmt: skip

    error_type: Name | None = None
    system: Name | None = None


class StoreIssue(PlatformData):
    """Something about one store wants attention."""

    TYPE: ClassVar[str] = "platform.store.issue.v1"
    ACTION: ClassVar[str] = "platform.store.issue.v1"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "store_id": 12, "store_name": "Rose & Co", "issue_type": "domain", "error_message": "the certificate ends in 3 days",
    }  # fmt: skip

    issue_type: Name | None = None


class SecurityAlert(PlatformData):
    """Something that may be an attack."""

    TYPE: ClassVar[str] = "platform.security.alert.v1"
    ACTION: ClassVar[str] = "platform.security.alert.v1"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "alert_type": "brute_force", "severity": "high", "ip_address": "203.0.113.7",
        "error_message": "400 failed sign-ins in a minute",
    }  # fmt: skip

    severity: Literal["low", "medium", "high", "critical"] | None = None
    alert_type: Name | None = None
    ip_address: Name | None = None
