"""What may be asked about notifications and alerts."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from libs.common.events.notification_fields import (
    ActionUrl,
    Metadata,
    NotificationType,
    Priority,
    Text,
    Title,
)
from services.gateway.features.schemas import ListQuery


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
    model_config = ConfigDict(extra="forbid")


class CreateNotificationRequest(_Body):
    """A notification for every administrator. `action_url` is a path of the console."""

    type: NotificationType
    priority: Priority = "normal"
    title: Title
    message: Text = ""
    action_required: bool = False
    action_url: ActionUrl | None = None
    notification_metadata: Metadata = {}
