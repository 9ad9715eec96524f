"""Making links and having them sent."""

from libs.common.broker.topology import NOTIFICATIONS_COMMANDS
from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.events.deliveries import LinkMail, SendLink
from libs.common.events.users import UserLinkIssued
from libs.common.identity import Caller
from libs.common.ids import new_id
from libs.common.sealing import seal
from services.gateway.access.events import event_of
from services.gateway.features.links import store
from services.gateway.features.links.models import Link, Purpose, Recipient, Token


class Links:
    """Sends links below `public_url`; what they say is sealed to `public_key`, the notifications service's."""

    def __init__(self, public_key: bytes, *, public_url: str) -> None:
        self._public_key = public_key
        self._public_url = public_url

    async def send(self, session: Session, caller: Caller, recipient: Recipient, purpose: Purpose) -> Link:
        """Make a link in place of an older one, and have it sent if the session's transaction commits.

        The token is in the sealed part of the command and, hashed, in the table: nowhere else. Raises `ValueError`, with
        nothing written, for a recipient to whom no mail can be made.
        """
        token = Token()
        mail = LinkMail(address=recipient.address, name=recipient.name, url=token.url(self._public_url, purpose))
        link = await store.replace(session, new_id(), user_id=recipient.user_id, purpose=purpose, token_hash=token.hash)
        subject = f"user/{recipient.user_id}"
        asked = SendLink(
            kind=purpose.value,
            user_id=recipient.user_id,
            expires_at=link.expires_at,
            sealed=seal(self._public_key, mail.model_dump_json().encode()),
        )
        told = UserLinkIssued(
            user_id=recipient.user_id, link_id=link.id, kind=purpose.value, expires_at=link.expires_at
        )
        command = event_of(caller, asked, subject=subject)
        await outbox.append(session, [outbox.command_row(command, queue=NOTIFICATIONS_COMMANDS, reply_to=None)])
        await outbox.emit(session, event_of(caller, told, subject=subject, causation_id=command.id))
        return link
