"""The deliverer: one loop that sends what waits, and tries again what did not work.

At least once, for SMTP is no transaction: between the server's answer and our commit a process can die, and a server
can take a mail without our hearing of it. Then it is sent again, under the same `Message-ID`, and whoever reads both can
use the link once. Nothing is sent twice for any other reason: a command is accepted once, and a delivery is claimed by
one worker at a time, for longer than an attempt may take.
"""

import asyncio
import random
from datetime import UTC, datetime
from typing import assert_never

from prometheus_client import Counter
from pydantic import ValidationError

from libs.common import logs
from libs.common.crashpoint import crashpoint
from libs.common.database import outbox
from libs.common.database.engine import Database, is_transient
from libs.common.delivery.backoff import backoff_seconds
from libs.common.events.deliveries import LinkMail, NoticeMail
from libs.common.sealing import NotSealed, Unsealer
from services.notifications.channels.outcomes import Channel, Outcome, Outgoing, Rejected, RetryLater, Sent
from services.notifications.commands.deliveries import note_failed, note_sent
from services.notifications.store import deliveries
from services.notifications.store.deliveries import Delivery

POLL_SECONDS = 0.5
LEASE_SECONDS = 60.0
FIRST_RETRY_SECONDS = 5.0
MOST_RETRY_SECONDS = 900.0

DELIVERIES = Counter(
    "reeve_deliveries_total",
    "Attempts to send something to one person. `unknown`: it may have arrived and is sent again.",
    ("channel", "outcome"),
)

log = logs.get("deliverer")


def retry_seconds(attempts: int, *, jitter: float) -> float:
    """How long to wait after so many attempts: doubling from 5 s up to 15 minutes, less `jitter` (0 to 1) times half of it."""
    return float(min(MOST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 20)) * (1 - jitter / 2))


class Deliverer:
    """Sends by one channel. `run` ends only when cancelled; several processes share the work."""

    def __init__(
        self, database: Database, channel: Channel, unsealer: Unsealer, *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._database = database
        self._channel = channel
        self._unsealer = unsealer
        self._lease_seconds = lease_seconds

    async def run(self) -> None:
        """Send what is due, then look again twice a second; a database that is away is waited for."""
        failures = 0
        while True:
            try:
                while await self.deliver_next():
                    failures = 0
                pause = POLL_SECONDS
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("deliveries wait for the database", error=type(error).__name__)
                pause = backoff_seconds(failures, first_seconds=POLL_SECONDS)
                failures += 1
            await asyncio.sleep(pause)

    async def deliver_next(self) -> bool:
        """Try the one that is due longest; False when none is."""
        async with self._database.transaction() as session:
            claimed = await deliveries.claim(session, lease_seconds=self._lease_seconds)
        if claimed is None:
            return False
        outcome = await self._attempt(claimed)
        crashpoint("mail.after_data")
        await self._note(claimed, outcome)
        return True

    async def _attempt(self, claimed: Delivery) -> Outcome:
        if claimed.expires_at <= datetime.now(UTC):
            return Rejected("it was of no more use before it could be sent")
        try:
            mail = _opened(claimed, self._unsealer)
        except (NotSealed, ValidationError):
            # Without the error's text, which could repeat what was sealed.
            log.error("a delivery cannot be read", delivery_id=claimed.id)
            return Rejected("it was not sealed to this service's key")
        outgoing = Outgoing(
            claimed.id, claimed.kind, mail, created_at=claimed.created_at, expires_at=claimed.expires_at
        )
        try:
            return await self._channel.send(outgoing)
        except Exception as error:
            # A mistake of ours with one delivery must not keep the others back. Its text could repeat the link.
            log.error("a channel failed", delivery_id=claimed.id, error=type(error).__name__)
            return RetryLater(type(error).__name__, may_have_arrived=True)

    async def _note(self, claimed: Delivery, outcome: Outcome) -> None:
        now = datetime.now(UTC)
        event = None
        async with self._database.transaction() as session:
            match outcome:
                case Sent():
                    label, event = "sent", await note_sent(session, claimed, now=now)
                case Rejected():
                    label, event = "failed", await note_failed(session, claimed, reason=outcome.reason, now=now)
                case RetryLater():
                    label = "unknown" if outcome.may_have_arrived else "retried"
                    seconds = retry_seconds(claimed.attempts, jitter=random.random())  # noqa: S311 - not a secret
                    await deliveries.put_off(session, claimed, seconds=seconds, reason=outcome.reason)
                case _:
                    assert_never(outcome)
            if event is not None:
                await outbox.emit(session, event)
        DELIVERIES.labels(self._channel.name, label).inc()
        if not isinstance(outcome, Sent):
            log.warning(
                "delivery did not work", delivery_id=claimed.id, attempts=claimed.attempts, reason=outcome.reason,
                is_final=isinstance(outcome, Rejected),
            )  # fmt: skip


def _opened(claimed: Delivery, unsealer: Unsealer) -> LinkMail | NoticeMail:
    """Raises `NotSealed` and `ValidationError`."""
    plain = unsealer.unseal(claimed.sealed)
    return NoticeMail.model_validate_json(plain) if claimed.kind == "notice" else LinkMail.model_validate_json(plain)
