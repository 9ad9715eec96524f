"""Notifications: created, read, put back, marked and deleted."""

from datetime import datetime

from libs.common.database.engine import Session
from libs.common.events.catalog import Change
from libs.common.events.envelope import Event
from libs.common.events.notifications import (
    CreateNotification,
    DeleteNotification,
    NotificationCreated,
    NotificationDeleted,
    NotificationRead,
    NotificationsRead,
    NotificationUnread,
    ReadAllNotifications,
    ReadNotification,
    UnreadNotification,
)
from services.notifications.commands.cause import Cause, canonical_id
from services.notifications.models import Notification, NotificationDraft, notification_not_found
from services.notifications.store import notifications, reads


async def create_notification(session: Session, cause: Cause, asked: CreateNotification, *, now: datetime) -> Event:
    """Tell every administrator something: 201 and the notification, unread."""
    draft = NotificationDraft(
        type=asked.type,
        priority=asked.priority,
        title=asked.title,
        message=asked.message,
        action_required=asked.action_required,
        action_url=asked.action_url,
        metadata=asked.notification_metadata,
    )
    (created,) = await notifications.append(session, [draft], now=now)
    return created_event(cause, created, rule=None)


async def read_notification(session: Session, cause: Cause, asked: ReadNotification, *, now: datetime) -> Event:
    """One administrator has read one notification. Reading it again changes nothing."""
    before, after = await _set_read(session, cause, asked.notification_id, is_read=True, now=now)
    data = NotificationRead(
        notification_id=after.id,
        admin_id=cause.admin_id,
        changes=_is_read(before, after),
        result=after.body(admin_id=cause.admin_id),
        origin=cause.origin,
    )
    return cause.event(data, subject=f"notification/{after.id}")


async def unread_notification(session: Session, cause: Cause, asked: UnreadNotification, *, now: datetime) -> Event:
    """One administrator puts one notification back among the unread."""
    before, after = await _set_read(session, cause, asked.notification_id, is_read=False, now=now)
    data = NotificationUnread(
        notification_id=after.id,
        admin_id=cause.admin_id,
        changes=_is_read(before, after),
        result=after.body(admin_id=cause.admin_id),
        origin=cause.origin,
    )
    return cause.event(data, subject=f"notification/{after.id}")


async def read_all(session: Session, cause: Cause, _: ReadAllNotifications, *, now: datetime) -> Event:
    """One administrator has read whatever is there now, however much it is."""
    read_up_to = await reads.mark_all(session, cause.admin_id, now=now)
    data = NotificationsRead(
        admin_id=cause.admin_id, read_up_to=read_up_to, result={"unread_count": 0}, origin=cause.origin
    )
    return cause.event(data, subject=f"notification_reader/{cause.admin_id}")


async def delete_notification(session: Session, cause: Cause, asked: DeleteNotification, *, now: datetime) -> Event:
    """Remove a notification, for everybody whom it is for; the audit trail keeps what it was."""
    del now
    notification_id = canonical_id(asked.notification_id)
    if notification_id is None:
        raise notification_not_found(asked.notification_id[:100])
    kind, title = await notifications.delete(session, notification_id, admin_id=cause.admin_id)
    data = NotificationDeleted(status=204, notification_id=notification_id, type=kind, title=title, origin=cause.origin)
    return cause.event(data, subject=f"notification/{notification_id}")


def created_event(cause: Cause, created: Notification, *, rule: str | None) -> Event:
    """The event of a new notification, with its public body."""
    data = NotificationCreated(
        status=201,
        notification_id=created.id,
        type=created.type,
        priority=created.priority,
        title=created.title,
        rule=rule,
        recipient_user_id=created.recipient_id,
        result=created.body(),
        origin=cause.origin,
    )
    return cause.event(data, subject=f"notification/{created.id}")


async def _set_read(
    session: Session, cause: Cause, given_id: str, *, is_read: bool, now: datetime
) -> tuple[Notification, Notification]:
    notification_id = canonical_id(given_id)
    if notification_id is None:
        raise notification_not_found(given_id[:100])
    admin_id = cause.admin_id
    mark = await reads.mark_of(session, admin_id)
    before = await notifications.get(session, notification_id, admin_id=admin_id, mark=mark)
    if before.is_read == is_read:
        return before, before
    await reads.upsert(
        session, admin_id=admin_id, position=before.position, is_read=is_read, generation=mark.generation, now=now
    )
    return before, await notifications.get(session, notification_id, admin_id=admin_id, mark=mark)


def _is_read(before: Notification, after: Notification) -> dict[str, Change]:
    return {} if before.is_read == after.is_read else {"is_read": Change(old=before.is_read, new=after.is_read)}
