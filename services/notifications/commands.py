"""What a write does, and which event it leaves. Everything here happens in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.errors import Invalid
from libs.common.events.catalog import Change, MessageData, new_event
from libs.common.events.envelope import Event
from libs.common.events.notifications import (
    AlertRaised,
    AlertRepeated,
    AlertResolved,
    CreateNotification,
    DeleteNotification,
    NotificationCreated,
    NotificationDeleted,
    NotificationRead,
    NotificationsRead,
    NotificationUnread,
    RaiseAlert,
    ReadAllNotifications,
    ReadNotification,
    ResolveAlert,
    UnreadNotification,
)
from libs.common.identity import Origin
from services.notifications.models import (
    AlertDraft,
    Notification,
    NotificationDraft,
    alert_not_found,
    notification_not_found,
)
from services.notifications.store import alerts, notifications, reads
from services.notifications.store.alerts import Occurrence, Raised

_MOST_ADMIN_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Cause:
    """What led to a write, and who acts: it goes into the events that the write leaves."""

    causation_id: str
    correlation_id: str | None
    actor_id: str | None
    actor_type: str | None
    traceparent: str | None
    origin: Origin | None = None

    def event(self, data: MessageData, *, subject: str | None, severity: str | None = None) -> Event:
        """An event that this led to."""
        return new_event(
            data,
            subject=subject,
            actor_id=self.actor_id,
            actor_type=self.actor_type,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            severity=severity,
            traceparent=self.traceparent,
        )

    @property
    def admin_id(self) -> str:
        """The acting administrator, whose state it is. Raises `Invalid` when nobody is named."""
        if not self.actor_id or len(self.actor_id) > _MOST_ADMIN_CHARACTERS:
            raise Invalid("the command names no administrator", code="actor_missing")
        return self.actor_id


@dataclass(frozen=True, slots=True)
class Made:
    """What rules made of one event."""

    cause: Cause
    time: datetime
    notification: NotificationDraft | None
    alert: AlertDraft | None


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
    return await _told(session, _created(cause, created, rule=None))


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
    return await _told(session, cause.event(data, subject=f"notification/{after.id}"))


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
    return await _told(session, cause.event(data, subject=f"notification/{after.id}"))


async def read_all(session: Session, cause: Cause, _: ReadAllNotifications, *, now: datetime) -> Event:
    """One administrator has read whatever is there now, however much it is."""
    read_up_to = await reads.mark_all(session, cause.admin_id, now=now)
    data = NotificationsRead(
        admin_id=cause.admin_id, read_up_to=read_up_to, result={"unread_count": 0}, origin=cause.origin
    )
    return await _told(session, cause.event(data, subject=f"notification_reader/{cause.admin_id}"))


async def delete_notification(session: Session, cause: Cause, asked: DeleteNotification, *, now: datetime) -> Event:
    """Remove a notification for everybody; the audit trail keeps what it was."""
    del now
    notification_id = _uuid(asked.notification_id)
    if notification_id is None:
        raise notification_not_found(asked.notification_id[:100])
    kind, title = await notifications.delete(session, notification_id)
    data = NotificationDeleted(status=204, notification_id=notification_id, type=kind, title=title, origin=cause.origin)
    return await _told(session, cause.event(data, subject=f"notification/{notification_id}"))


async def raise_alert(session: Session, cause: Cause, asked: RaiseAlert, *, now: datetime) -> Event:
    """201 and a new alert, or 200 and one more occurrence of the unresolved one with this fingerprint."""
    draft = AlertDraft(
        alert_type=asked.alert_type,
        severity=asked.severity,
        title=asked.title,
        description=asked.description,
        affected_stores=asked.affected_stores,
        affected_systems=asked.affected_systems,
        labels=asked.labels,
        fingerprint=asked.fingerprint,
    )
    await alerts.take_turn(session)
    (raised,) = await alerts.raise_all(session, [Occurrence(draft, now, now)])
    return await _told(session, _raised(cause, raised))


async def resolve_alert(session: Session, cause: Cause, asked: ResolveAlert, *, now: datetime) -> Event:
    """Resolve an alert. Raises `NotFound`, and `Conflict` when it is resolved already."""
    alert_id = _uuid(asked.alert_id)
    if alert_id is None:
        raise alert_not_found(asked.alert_id[:100])
    await alerts.take_turn(session)
    resolved = await alerts.resolve(session, alert_id, admin_id=cause.admin_id, notes=asked.resolution_notes, now=now)
    changes = {"is_resolved": Change(old=False, new=True), "resolution_notes": Change(new=resolved.resolution_notes)}
    data = AlertResolved(
        alert_id=alert_id,
        fingerprint=resolved.fingerprint,
        changes=changes,
        result=resolved.body(),
        origin=cause.origin,
    )
    return await _told(session, cause.event(data, subject=f"alert/{alert_id}"))


async def apply_made(session: Session, made: Sequence[Made], *, now: datetime) -> None:
    """Store what rules made of a batch: one statement for its notifications, one for its alerts, one for the events."""
    events: list[Event] = []
    told = [(one, one.notification) for one in made if one.notification is not None]
    if told:
        created = await notifications.append(session, [draft for _, draft in told], now=now)
        events += [_created(one.cause, new, rule=draft.rule) for (one, draft), new in zip(told, created, strict=True)]
    else:
        await alerts.take_turn(session)
    occurrences, causes = _occurrences(made, now=now)
    if occurrences:
        raised = await alerts.raise_all(session, occurrences)
        events += [_raised(causes[one.alert.fingerprint], one) for one in raised]
    await outbox.emit(session, *events)


def _occurrences(made: Sequence[Made], *, now: datetime) -> tuple[list[Occurrence], dict[str, Cause]]:
    """The alerts of a batch, those of one fingerprint added up; what caused each is the last of its events."""
    found: dict[str, Occurrence] = {}
    causes: dict[str, Cause] = {}
    for one in made:
        if one.alert is None:
            continue
        identity = one.alert.identity
        # A platform's clock may be ahead; nothing has occurred later than now.
        time = min(one.time, now)
        known = found.get(identity) or Occurrence(one.alert, time, time, count=0)
        found[identity] = Occurrence(
            known.draft, min(known.first_at, time), max(known.last_at, time), count=known.count + 1
        )
        causes[identity] = one.cause
    return list(found.values()), causes


async def _set_read(
    session: Session, cause: Cause, given_id: str, *, is_read: bool, now: datetime
) -> tuple[Notification, Notification]:
    notification_id = _uuid(given_id)
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


def _created(cause: Cause, created: Notification, *, rule: str | None) -> Event:
    data = NotificationCreated(
        status=201,
        notification_id=created.id,
        type=created.type,
        priority=created.priority,
        title=created.title,
        rule=rule,
        result=created.body(),
        origin=cause.origin,
    )
    return cause.event(data, subject=f"notification/{created.id}")


def _raised(cause: Cause, raised: Raised) -> Event:
    alert = raised.alert
    model, status = (AlertRaised, 201) if raised.is_new else (AlertRepeated, 200)
    data = model(
        status=status,
        alert_id=alert.id,
        fingerprint=alert.fingerprint,
        severity=alert.severity,
        occurrence_count=alert.occurrence_count,
        occurrences=raised.occurrence.count,
        rule=raised.occurrence.draft.rule,
        result=alert.body(),
        origin=cause.origin,
    )
    return cause.event(data, subject=f"alert/{alert.id}", severity=alert.severity)


async def _told(session: Session, event: Event) -> Event:
    await outbox.emit(session, event)
    return event


def _uuid(text: str) -> str | None:
    """The canonical text of an id; what is no id names nothing."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
