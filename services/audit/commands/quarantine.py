"""Replaying what was quarantined: the checks of its first day again, and one entry when it passes them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import orjson

from libs.common.broker.transport import Message
from libs.common.database.engine import Session
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.asked import outcome_of, read_command
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.delivery.intake import load_clients
from libs.common.delivery.senders import misfit, producer_of, refusal
from libs.common.errors import Conflict, NotFound
from libs.common.events.catalog import Catalog
from libs.common.events.envelope import Event, MalformedEvent
from libs.common.events.quarantine import QuarantineReplayed, ReplayQuarantined
from libs.common.events.registered import misfit as broken_schema
from libs.common.events.registered import registered_of
from libs.common.events.requests import OperationRejected
from services.audit.schemas import quarantined_body
from services.audit.store import event_schemas
from services.audit.store import quarantine as store
from services.audit.store.quarantine import Quarantined

CATCH_UP_SECONDS = 1.0
"""For how long a replay waits for a change of the registered types that the gateway knows and this service does not yet."""
LOOK_SECONDS = 0.05

Record = Callable[[Session, Sequence[Arrived]], Awaitable[None]]


class QuarantineCommands:
    """Replays by the checks of `catalog`; `record` stores what passes, as the consumer of events does."""

    def __init__(self, record: Record, catalog: Catalog, *, speaks_as: str) -> None:
        self._record = record
        self._catalog = catalog
        self._speaks_as = speaks_as

    def handlers(self) -> Mapping[str, CommandHandler]:
        """By wire type."""
        return {ReplayQuarantined.TYPE: one_by_one(self.replay)}

    async def replay(self, session: Session, command: Event) -> Event:
        """Applies `ReplayQuarantined`: 200, also when it was replayed before. Raises 404.

        What still does not fit stays where it is, with the reason of this time, and the answer is 409 `does_not_fit`: an
        outcome and no error, since the failure is to be kept.
        """
        asked = read_command(ReplayQuarantined, command, doing="replay events")
        await _catch_up(session, asked.catalogue_revision)
        kept = await store.find_locked(session, _id(asked.quarantine_id))
        if kept is None:
            raise quarantined_not_found(asked.quarantine_id)
        if kept.replayed_at is None:
            reason = await self._take(session, kept)
            if reason is not None:
                await store.save_failure(session, kept.id, reason)
                return self._refused(command, asked, reason)
            kept = await store.save_replay(session, kept.id)
        data = QuarantineReplayed(
            result=quarantined_body(kept), quarantine_id=str(kept.id), event_type=kept.event_type,
            sequence=kept.entry_sequence or 0, origin=asked.origin,
        )  # fmt: skip
        return outcome_of(command, data, subject=f"quarantine/{kept.id}")

    async def _take(self, session: Session, kept: Quarantined) -> str | None:
        """Record the event as the one that it is, with its own time and number; or why it still may not come in."""
        message = _message(kept)
        producer = producer_of(message)
        try:
            [event] = kept.events()
        except (MalformedEvent, ValueError) as error:
            return f"malformed: {error}"
        clients = await load_clients(session)
        known = await event_schemas.find(session, event.type)
        registered = registered_of(known) if known is not None else None
        reason = refusal(event, message, clients) or misfit(
            event, producer, self._catalog, checks_services=True,
            registered=None if registered is None else lambda one: broken_schema(one, registered),
        )  # fmt: skip
        if reason is None:
            arrived = Arrived(event, producer or message.sender or "", message.sender, None, message)
            await self._record(session, [arrived])
        return reason

    def _refused(self, command: Event, asked: ReplayQuarantined, reason: str) -> Event:
        error = Conflict(f"it still does not fit: {reason}", code="does_not_fit")
        rejected = OperationRejected(
            operation_id=command.id, action=asked.action, status=error.status, error=error.detail(),
            origin=asked.origin,
        )  # fmt: skip
        return outcome_of(command, rejected, subject=f"quarantine/{asked.quarantine_id}", source=self._speaks_as)


async def _catch_up(session: Session, revision: int) -> None:
    """Wait until the schemas of when the replay was asked for are here, but not for long: without them it is judged by those
    that are, and says which."""
    for _ in range(round(CATCH_UP_SECONDS / LOOK_SECONDS)):
        if await event_schemas.load_last_revision(session) >= revision:
            return
        await asyncio.sleep(LOOK_SECONDS)


def quarantined_not_found(quarantine_id: str) -> NotFound:
    """There is none of this id."""
    return NotFound(f"nothing is quarantined as {quarantine_id[:64]}", code="quarantined_not_found")


def _message(kept: Quarantined) -> Message:
    """The message as it came, as far as the checks ask: bytes, headers, and who sent it."""
    return Message(
        body=kept.body, content_type=kept.content_type or "", exchange="", routing_key="",
        message_id=kept.message_id or "", type=kept.type or "", headers=orjson.loads(kept.headers),
        app_id=kept.producer, sender=kept.sender,
    )  # fmt: skip


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise quarantined_not_found(text) from None
