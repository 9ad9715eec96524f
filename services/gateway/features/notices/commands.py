"""Noting what people are to be told of their own accounts, and having it sent.

A notice commits with what it tells of. A loop that nobody waits for gathers what waits for somebody into one letter, so
that a burst is one, and nobody is sent more than `MOST_IN_AN_HOUR`.
"""

import asyncio
from datetime import UTC, datetime

from prometheus_client import Counter

from libs.common import logs
from libs.common.broker.topology import NOTIFICATIONS_COMMANDS
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Unavailable
from libs.common.events.deliveries import NoticeKind, SendNotice
from libs.common.events.notification_fields import plain_line
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.ids import new_id
from libs.common.sealing import seal
from services.gateway.access.devices import device_of
from services.gateway.access.events import event_of
from services.gateway.features.notices import store
from services.gateway.features.notices.models import LIFE, mail_of

TELL_SECONDS = 1.0
"""How often it is looked who is to be told something."""
BY_OTHERS: frozenset[NoticeKind] = frozenset({"sessions_ended"})
"""What administrators do to others; their own networks are nobody else's business."""
ITSELF = Actor(
    id="gateway", type=ActorType.SYSTEM, username="gateway", role=None, level=Level.NONE, permissions=frozenset()
)

NOTICES = Counter(
    "reeve_notices_total", "Notices to people about their own accounts, by what became of them.", ("outcome",)
)
for _outcome in ("noted", "dropped", "told", "unsendable"):
    # A counter that is there from the start shows its first increase as one.
    NOTICES.labels(_outcome)

log = logs.get("notices")


async def note_notice(session: Session, caller: Caller, *, user_id: str, kind: NoticeKind) -> None:
    """Somebody is to be told of this, and from where it was done, if the session's transaction commits."""
    details = {}
    if kind not in BY_OTHERS:
        device = device_of(caller.origin.ip_address, caller.origin.user_agent)
        details = {"network": plain_line(device.network), "device": plain_line(device.name)}
    is_kept = await store.append(session, new_id(), user_id=user_id, kind=kind, details=details)
    NOTICES.labels("noted" if is_kept else "dropped").inc()


class Notices:
    """Has notices sent, sealed to `public_key`, the notifications service's. `public_url` is where the console is."""

    def __init__(self, public_key: bytes, *, public_url: str | None) -> None:
        self._public_key = public_key
        self._public_url = public_url

    async def tell_next(self, database: Database) -> bool:
        """Have one person told all that waits for them; False when nobody is to be told anything now."""
        async with database.transaction() as session:
            user_id = await store.take_owner(session)
            if user_id is None:
                return False
            waiting = await store.load_waiting(session, user_id)
            recipient = await store.find_recipient(session, user_id)
            if recipient is None or not waiting:
                await store.forget_waiting(session, user_id)
                return True
            try:
                mail = mail_of(recipient, waiting, public_url=self._public_url)
            except ValueError:
                # Nobody may make such an account; if one is there, its notices must not keep all others waiting.
                log.error("no mail can be made to an account", user_id=user_id)
                NOTICES.labels("unsendable").inc(len(waiting))
                await store.forget_waiting(session, user_id)
                return True
            asked = SendNotice(
                user_id=user_id,
                expires_at=datetime.now(UTC) + LIFE,
                sealed=seal(self._public_key, mail.model_dump_json().encode()),
            )
            command = event_of(Caller(ITSELF, Origin(), new_id()), asked, subject=f"user/{user_id}")
            await outbox.append(session, [outbox.command_row(command, queue=NOTIFICATIONS_COMMANDS, reply_to=None)])
            await store.note_told(session, waiting, letter_id=command.id)
        NOTICES.labels("told").inc(len(waiting))
        return True

    async def tell_forever(self, database: Database) -> None:
        """Tell people as there is something to tell, on every instance, each thing once, until cancelled."""
        while True:
            try:
                while await self.tell_next(database):
                    pass
            except Unavailable:
                pass
            await asyncio.sleep(TELL_SECONDS)
