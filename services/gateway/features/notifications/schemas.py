"""What may be asked about notifications and alerts."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from libs.common.events.notification_fields import (
    ActionUrl,
    Metadata,
    NotificationType,
    Priority,
    Text,
    Title,
)
from services.gateway.features.schemas import ListQuery, ListResponse


class ListNotificationsQuery(ListQuery):
    """Filters of the list."""

    priority: Priority | None = None
    type: NotificationType | None = None
    is_read: bool | None = None
    action_required: bool | None = None


class RecentQuery(BaseModel):
    """For a header's bell."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=50)] = 5


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CreateNotificationRequest(_Body):
    """A notification for every administrator. `action_url` is a path of the console."""

    type: NotificationType
    priority: Priority = "normal"
    title: Title
    message: Text = ""
    action_required: bool = False
    action_url: ActionUrl | None = None
    notification_metadata: Metadata = {}


class NotificationResponse(BaseModel):
    """A notification, as the caller has read it."""

    id: str
    type: str
    priority: Priority
    title: str
    message: str
    is_read: bool
    read_at: datetime | None
    read_by_user_id: str | None
    action_required: bool
    action_url: str | None
    notification_metadata: dict[str, Any]
    recipient_user_id: Annotated[str | None, Field(description="Whom alone it is for; null for everybody.")]
    created_at: datetime


class NotificationsResponse(ListResponse):
    """One page of notifications."""

    notifications: list[NotificationResponse]
    unread_count: int


class UnreadCountResponse(BaseModel):
    """How many the caller has not read; at most 10,000."""

    unread_count: int
