"""The platform's health as an administrator reads it."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Status(StrEnum):
    """How a component does."""

    HEALTHY = "healthy"
    WARNING = "warning"
    ERROR = "error"


class Kind(StrEnum):
    """What a component is."""

    SERVICE = "service"
    DATABASE = "database"
    BROKER = "broker"
    QUEUE = "queue"
    OUTBOX = "outbox"
    DISK = "disk"


class Component(BaseModel):
    """One part of the platform: how it does, since when, and the figures behind that."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Kind
    status: Status
    message: str
    latency_ms: float | None = None
    since: datetime | None = None
    figures: dict[str, float | int | str] = {}


class HealthResponse(BaseModel):
    """The whole platform; its status is its worst component's."""

    status: Status
    checked_at: datetime
    components: list[Component]
