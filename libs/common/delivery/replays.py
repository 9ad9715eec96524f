"""Dead letters brought back: each held against what is known today, and handed to the handler it was meant for.

A letter's effects, the end of its row and the event that tells of it are one transaction, so that it takes effect once
by however many processes it is replayed. What still does not fit stays as it is.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from libs.common import logs
from libs.common.broker.topology import COMMANDS
from libs.common.broker.transport import Delivery, Message
from libs.common.crashpoint import crashpoint
from libs.common.database import inbox, kept_letters, outbox
from libs.common.database.dead_letters import DeadLetter
from libs.common.database.engine import Database, Session, is_transient
from libs.common.database.kept_letters import Group, KeptLetter, Wanted
from libs.common.delivery.ahead import opened
from libs.common.delivery.arrivals import PRODUCER_HEADER, Again, Arrived, Refused, arrival_of
from libs.common.delivery.intake import Intake, load_clients
from libs.common.delivery.senders import SERVICE_USER_PREFIX
from libs.common.errors import ReeveError
from libs.common.events.catalog import new_event
from libs.common.events.dead_letters import DeadLetterReplayed

MOST_REASON = 64
TOLD_OTHERWISE = "its asker was told that it failed, and may have asked again: name it by --id to apply it all the same"

log = logs.get("replays")


@dataclass(frozen=True, slots=True)
class Tried:
    """A letter that was tried, and why it stays; `why` is None when it took effect (in a dry run: would have)."""

    letter: DeadLetter
    why: str | None


class _Stays(Exception):
    """Nothing of this transaction may stay, and the letter does; the message says why."""


class _NotOurs(Exception):
    """The letter is gone, or in the hands of another replay."""


class _DryRun(Exception):
    """It would have taken effect."""


class Replays:
    """The dead letters of one service. `source` is in whose name it is told; `intakes` are the queues it consumes."""

    def __init__(self, database: Database, intakes: Sequence[Intake], *, source: str) -> None:
        self._database = database
        self._intakes = {one.queue.name: one for one in intakes}
        self._source = source

    @property
    def elsewhere(self) -> Sequence[tuple[str, str]]:
        """Queues and beginnings of reasons whose letters are replayed in another way."""
        return [(name, reason) for name, one in self._intakes.items() for reason in one.letters.elsewhere()]

    async def summarize(self) -> Sequence[Group]:
        """What lies in the table for these replays."""
        async with self._database.reading() as session:
            return await kept_letters.summarize(session, elsewhere=self.elsewhere)

    async def replay(self, wanted: Wanted, *, most: int, dry_run: bool = False) -> AsyncIterator[Tried]:
        """Try up to `most` of the wanted letters, the oldest first. Raises `Unavailable` when the database is away."""
        if wanted.id is None:
            wanted = replace(wanted, elsewhere=self.elsewhere)
        tried, last = 0, None
        while tried < most:
            async with self._database.reading() as session:
                last = await kept_letters.find_next(session, wanted, after=last)
            if last is None:
                return
            try:
                why = await self._try(last, by_id=wanted.id is not None, dry_run=dry_run)
            except _NotOurs:
                continue
            tried += 1
            yield Tried(last.letter, why)

    async def _try(self, kept: KeptLetter, *, by_id: bool, dry_run: bool) -> str | None:
        letter, intake = kept.letter, self._intakes[kept.letter.queue]
        for reason, how in intake.letters.elsewhere().items():
            if letter.reason.startswith(reason):
                return f"it is replayed by {how}"
        if intake.queue.exchange == COMMANDS and not by_id:
            return TOLD_OTHERWISE
        try:
            if intake.registered is not None:
                await intake.registered.refresh()
            async with self._database.transaction() as session:
                arrived = await self._take(session, intake, letter)
                if dry_run:
                    raise _DryRun
                crashpoint("cons.before_commit")
        except _DryRun:
            return None
        except (_Stays, Refused) as error:
            return str(error)
        except Again as error:
            return f"refused: {error.__cause__.code if isinstance(error.__cause__, ReeveError) else 'again'}"
        except _NotOurs:
            raise
        except Exception as error:
            if is_transient(error):
                raise
            log.error("dead letter still fails", queue=letter.queue, letter_id=letter.id, exc_info=error)
            return f"failed again: {type(error).__name__}"
        log.info("dead letter replayed", queue=letter.queue, letter_id=letter.id, reason=_kind(letter))
        if intake.after is not None:
            await intake.after(arrived)
        return None

    async def _take(self, session: Session, intake: Intake, letter: DeadLetter) -> Sequence[Arrived]:
        """Everything that a replay writes. Locks are taken in the subscriber's order: its inbox, then the letter."""
        found = opened(Delivery(message_of(letter), None))
        if found.fault is not None:
            raise _Stays(found.fault)
        message, clients = found.delivery.message, await load_clients(session)
        arrived = [
            Arrived(one, found.producer or message.sender or "", message.sender, None, message) for one in found.events
        ]
        for one in arrived:
            if why := intake.judge(one.event, message, clients):
                raise _Stays(why)
        # Its number is in the inbox since it became a letter; what could not be read then has none there yet.
        await inbox.admit(session, consumer=letter.queue, arrivals=[arrival_of(one) for one in arrived])
        if not await kept_letters.lock(session, letter.id):
            raise _NotOurs
        await intake.handle(session, arrived)
        await kept_letters.drop(session, letter.id)
        told = DeadLetterReplayed(letter_id=letter.id, queue=letter.queue, reason=_kind(letter))
        event = new_event(told, source=self._source, subject=f"queue/{letter.queue}", actor_type="system")
        await outbox.emit(session, event)
        return arrived


def message_of(letter: DeadLetter) -> Message:
    """The message that became this letter, as far as the checks ask. Nobody waits for a reply to it any more."""
    return Message(
        body=letter.body, content_type=letter.content_type or "", exchange="", routing_key="",
        message_id=letter.message_id or "", type=letter.type or "", app_id=_app_id(letter), headers=letter.headers,
        sender=letter.sender,
    )  # fmt: skip


def _app_id(letter: DeadLetter) -> str:
    """Which service's outbox it came from. Letters of earlier releases do not say; then the broker's user does."""
    kept = letter.headers.get(PRODUCER_HEADER)
    if isinstance(kept, str):
        return kept
    sender = letter.sender or ""
    return sender.removeprefix(SERVICE_USER_PREFIX) if sender.startswith(SERVICE_USER_PREFIX) else ""


def _kind(letter: DeadLetter) -> str:
    return letter.reason.partition(":")[0][:MOST_REASON]
