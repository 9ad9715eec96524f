"""What rules made of a batch of events, stored in as few statements as there are kinds of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.events.envelope import Event
from services.notifications.commands.alerts import raised_event
from services.notifications.commands.cause import Cause
from services.notifications.commands.notifications import created_event
from services.notifications.models import AlertDraft, NotificationDraft
from services.notifications.store import alerts, notifications
from services.notifications.store.alerts import Occurrence


@dataclass(frozen=True, slots=True)
class Made:
    """What rules made of one event."""

    cause: Cause
    time: datetime
    notification: NotificationDraft | None
    alert: AlertDraft | None


async def apply_made(session: Session, made: Sequence[Made], *, now: datetime) -> None:
    """Store what rules made of a batch: one statement for its notifications, one for its alerts, one for the events."""
    events: list[Event] = []
    told = [(one, one.notification) for one in made if one.notification is not None]
    if told:
        created = await notifications.append(session, [draft for _, draft in told], now=now)
        events += [
            created_event(one.cause, new, rule=draft.rule) for (one, draft), new in zip(told, created, strict=True)
        ]
    else:
        await alerts.take_turn(session)
    occurrences, causes = _occurrences(made, now=now)
    if occurrences:
        raised = await alerts.raise_all(session, occurrences)
        events += [raised_event(causes[one.alert.fingerprint], one) for one in raised]
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
