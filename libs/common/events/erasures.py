"""Messages about what services erased of a person after the gateway had (`reeve.user.erased.v1`, their cause).

They name the account by its id, which is a pseudonym by then, and count what went; the audit log tells of its own part by
redactions (`libs.common.events.redactions`).
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from libs.common.events.catalog import MessageData

_ID = "0199a0c0-0000-7000-8000-000000000001"
Count = Annotated[int, Field(ge=0)]


class SettingsUserErased(MessageData):
    """What the settings service kept of a person is gone: the reasons that they gave, and dead letters that name them."""

    TYPE: ClassVar[str] = "reeve.settings.user_erased.v1"
    SOURCE: ClassVar[str] = "/reeve/settings"
    ACTION: ClassVar[str] = "erase_user_in_settings"
    EXAMPLE: ClassVar[dict[str, Any]] = {"user_id": _ID, "reasons": 3, "dead_letters": 0}

    user_id: str
    reasons: Count
    dead_letters: Count


class NotificationsUserErased(MessageData):
    """What the notifications service kept of a person is gone: what waited to be sent to them, notifications for them
    alone and about them, what they have read, and dead letters that name them."""

    TYPE: ClassVar[str] = "reeve.notifications.user_erased.v1"
    SOURCE: ClassVar[str] = "/reeve/notifications"
    ACTION: ClassVar[str] = "erase_user_in_notifications"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "deliveries": 1, "notifications": 4, "reads": 12, "dead_letters": 0,
    }  # fmt: skip

    user_id: str
    deliveries: Count
    notifications: Count
    reads: Count
    dead_letters: Count
