"""Makers: events, outbox rows and callers with everything that a test does not care about filled in."""

from datetime import UTC, datetime
from typing import Any

from libs.common.database.outbox import ClaimedRow, outbox_row
from libs.common.events.envelope import Event
from libs.common.ids import new_id


def an_event(**given: Any) -> Event:
    """A platform's event, sent by the gateway's outbox unless told otherwise."""
    made: dict[str, Any] = {
        "id": new_id(),
        "source": "/reeve/gateway",
        "type": "reeve.request.recorded.v1",
        "time": datetime.now(UTC),
        "data": {"action": "list_settings", "outcome": "success", "method": "GET", "path": "/x", "status": 200},
        "subject": None,
    }
    return Event(**{**made, **given})


def a_claimed_row(position: int, *, producerseq: int | None = None, stream: str = "events", **given: Any) -> ClaimedRow:
    """A row as the relay claims it; its number follows its position."""
    row = outbox_row(an_event(**given))
    return ClaimedRow(
        event_id=row.event_id, exchange=row.exchange, routing_key=row.routing_key, type=row.type, subject=row.subject,
        body=row.body, correlation_id=row.correlation_id, reply_to=None, position=position, stream=stream,
        producerseq=producerseq or position,
    )  # fmt: skip
