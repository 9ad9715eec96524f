"""Outcome events complete operations, whichever gateway instance accepted them."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.database.engine import Session
from libs.common.delivery.arrivals import Arrived
from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import OutcomeData
from libs.common.events.envelope import Event
from libs.common.events.requests import OperationRejected
from services.gateway.features.operations import store
from services.gateway.features.operations.store import Completion


async def complete_operations(session: Session, arrived: Sequence[Arrived]) -> None:
    """Complete the operations that these events are the outcomes of; others are not ours."""
    completions = [done for one in arrived if (done := completion(one.event)) is not None]
    if completions:
        await store.complete(session, completions)


def completion(event: Event) -> Completion | None:
    """How the operation that caused this event ended; None for an event that ends none."""
    model = CATALOG.find(event.type)
    if model is None or not issubclass(model, OutcomeData) or not _is_uuid(event.causationid):
        return None
    rejected = event.type == OperationRejected.TYPE
    return Completion(
        operation_id=str(event.causationid),
        state="rejected" if rejected else "completed",
        status=int(event.data.get("status", 200)),
        result=None if rejected else event.data.get("result"),
        error=event.data.get("error") if rejected else None,
    )


def _is_uuid(text: str | None) -> bool:
    try:
        UUID(text or "")
    except ValueError:
        return False
    return True
