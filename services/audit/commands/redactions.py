"""Erasures of a subject's personal data: asked for by an administrator, or by the end of an account."""

from collections.abc import Mapping, Sequence

from libs.common.database.engine import Session
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.asked import administrator_of, outcome_of, read_command
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.delivery.senders import producer_of
from libs.common.errors import Conflict
from libs.common.events.envelope import Event
from libs.common.events.redactions import RedactionStarted, StartRedaction
from libs.common.events.users import UserErased
from services.audit.models.redactions import ACTS_AS_ADMIN, Subject
from services.audit.schemas import redaction_body
from services.audit.store import redactions as store
from services.audit.store.holds import blocked_by

MOST_LIVE = 100
ERASED_REASON = "account erased"
ERASED_SECONDS = 60.0
"""After an account's erasure its data is erased here this much later: what others still tell of it has come by then."""


class RedactionCommands:
    """Starts redactions, where no hold is in their way."""

    def handlers(self) -> Mapping[str, CommandHandler]:
        """By wire type."""
        return {StartRedaction.TYPE: one_by_one(self.start_redaction)}

    async def start_redaction(self, session: Session, command: Event) -> Event:
        """Applies `StartRedaction`: 201, or 200 with the one of this subject that is under way.

        Raises 409 `legal_hold`, and 409 `too_many_redactions`.
        """
        asked = read_command(StartRedaction, command, doing="redact the log")
        subject = Subject(asked.subject_type, asked.subject_id)
        holds = await blocked_by(session, subject)
        if holds:
            raise Conflict(
                f"nothing of {subject.type} {subject.id} may be erased: {', '.join(holds)}", code="legal_hold"
            )
        live = await store.count_live(session)
        job, is_new = await store.start(
            session, subject, reason=asked.reason, requested_by=administrator_of(command), operation_id=command.id,
            correlation_id=command.correlationid,
        )  # fmt: skip
        if is_new and live >= MOST_LIVE:
            raise Conflict(f"{MOST_LIVE} redactions are under way; wait for one to end", code="too_many_redactions")
        data = RedactionStarted(
            status=201 if is_new else 200, result=redaction_body(job), redaction_id=str(job.id),
            subject_type=job.subject_type, subject_id=job.subject_id, reason=job.reason, origin=asked.origin,
        )  # fmt: skip
        return outcome_of(command, data, subject=f"redaction/{job.id}")


async def redact_erased_users(session: Session, arrived: Sequence[Arrived]) -> None:
    """Have the personal data of accounts erased that the gateway says it erased; they are believed to no one else."""
    for one in arrived:
        if one.event.type == UserErased.TYPE and producer_of(one.message) == "gateway":
            subject = Subject(ACTS_AS_ADMIN, str(one.event.data["user_id"]))
            await store.start(
                session, subject, reason=ERASED_REASON, requested_by=one.event.actorid, operation_id=None,
                correlation_id=one.event.correlationid, after_seconds=ERASED_SECONDS,
            )  # fmt: skip
