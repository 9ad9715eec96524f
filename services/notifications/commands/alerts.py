"""Alerts: raised, repeated and resolved."""

from datetime import datetime

from libs.common.database.engine import Session
from libs.common.events.catalog import Change
from libs.common.events.envelope import Event
from libs.common.events.notifications import AlertRaised, AlertRepeated, AlertResolved, RaiseAlert, ResolveAlert
from services.notifications.commands.cause import Cause, canonical_id
from services.notifications.models import AlertDraft, alert_not_found
from services.notifications.store import alerts
from services.notifications.store.alerts import Occurrence, Raised


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
    return raised_event(cause, raised)


async def resolve_alert(session: Session, cause: Cause, asked: ResolveAlert, *, now: datetime) -> Event:
    """Resolve an alert. Raises `NotFound`, and `Conflict` when it is resolved already."""
    alert_id = canonical_id(asked.alert_id)
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
    return cause.event(data, subject=f"alert/{alert_id}")


def raised_event(cause: Cause, raised: Raised) -> Event:
    """The event of an occurrence, with the alert's public body."""
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
