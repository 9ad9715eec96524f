"""Notices to people about their own accounts: accepted once, as something to be sent and as a notification of theirs."""

from datetime import UTC, datetime

from pydantic import ValidationError

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.delivery.asked import outcome_of, read_command
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.errors import Invalid
from libs.common.events.deliveries import Channel, DeliveryAccepted, NoticeMail, SendNotice
from libs.common.events.envelope import Event, rfc3339
from libs.common.events.notification_fields import plain_text
from libs.common.sealing import NotSealed, Unsealer
from services.notifications.channels.letters import line_of, title_of
from services.notifications.commands.cause import Cause
from services.notifications.commands.deliveries import recipient_erased
from services.notifications.commands.notifications import created_event
from services.notifications.models import NotificationDraft, NotificationType
from services.notifications.store import deliveries, notifications, people

RULE = "account_notice"


def send_notice(channel: Channel, unsealer: Unsealer) -> CommandHandler:
    """The handler of `SendNotice`, for mails that go out by `channel`. The command's id is the delivery's."""

    async def accept(session: Session, command: Event) -> Event:
        asked = read_command(SendNotice, command, doing="tell people of their accounts", below=())
        if await people.is_erased(session, asked.user_id):
            raise recipient_erased(asked.user_id)
        draft = draft_of(_opened(unsealer, asked.sealed), user_id=asked.user_id)
        await deliveries.append(
            session,
            command.id,
            channel=channel,
            kind="notice",
            user_id=asked.user_id,
            sealed=asked.sealed,
            expires_at=asked.expires_at,
            correlation_id=command.correlationid,
        )
        (created,) = await notifications.append(session, [draft], now=datetime.now(UTC))
        await outbox.emit(session, created_event(_cause(command), created, rule=RULE))
        accepted = DeliveryAccepted(
            status=202,
            delivery_id=command.id,
            channel=channel,
            kind="notice",
            user_id=asked.user_id,
            expires_at=asked.expires_at,
            origin=asked.origin,
        )
        return outcome_of(command, accepted, subject=f"user/{asked.user_id}")

    return one_by_one(accept)


def draft_of(mail: NoticeMail, *, user_id: str) -> NotificationDraft:
    """What the owner of an account reads in the console."""
    last = mail.lines[-1]
    known = {name: value for name, value in (("network", last.network), ("device", last.device)) if value is not None}
    more = [f"And {mail.more} more."] if mail.more else []
    return NotificationDraft(
        type=NotificationType.ACCOUNT_NOTICE,
        priority="high",
        title=title_of(mail),
        message=plain_text("\n".join([*(line_of(one) for one in reversed(mail.lines)), *more])),
        metadata={
            "kind": last.kind,
            "kinds": sorted({one.kind for one in mail.lines}),
            "at": rfc3339(last.at),
            **known,
        },
        rule=RULE,
        recipient_id=user_id,
    )


def _opened(unsealer: Unsealer, sealed: str) -> NoticeMail:
    try:
        return NoticeMail.model_validate_json(unsealer.unseal(sealed))
    except (NotSealed, ValidationError):
        # Without the error's text, which could repeat what was sealed.
        raise Invalid("it was not sealed to the notifications service", code="not_sealed") from None


def _cause(command: Event) -> Cause:
    return Cause(
        causation_id=command.id,
        correlation_id=command.correlationid,
        actor_id=command.actorid,
        actor_type=command.actortype,
        traceparent=command.traceparent,
    )
