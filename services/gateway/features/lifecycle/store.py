"""Every SQL statement that erases what the gateway knows of a person. The table in the README says what each column becomes."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update

from libs.common.database.engine import Session, driver
from services.gateway.access.pseudonyms import PREFIX
from services.gateway.tables import (
    access_requests,
    approvals,
    external_identities,
    external_sessions,
    idempotency_keys,
    operations,
    reset_requests,
    security_facts,
    sessions,
    users,
)

# An event counted for an address has it as its subject and in its fingerprint, whose last part must stay a number.
_BLUR_EVENTS = """
    UPDATE security_events SET
        ip_address = NULL, user_agent = NULL, details = '{}', notes = NULL,
        subject = CASE WHEN subject ~ $2 THEN subject ELSE 'erased' END,
        fingerprint = CASE WHEN subject ~ $2 THEN fingerprint
                           ELSE regexp_replace(fingerprint, '^.*:', rule || ':erased-' || id || ':') END
    WHERE user_id = $1
"""
_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


@dataclass(frozen=True, slots=True)
class Named:
    """An identity of another issuer under its own name."""

    user_id: str
    issuer: str
    subject: str


async def lock_user(session: Session, user_id: str) -> None:
    """Nobody signs in to this account, or is sent anything of it, until the transaction ends."""
    await session.execute(select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True))


async def load_addresses(session: Session, user_id: str) -> Sequence[str]:
    """The addresses that a person came from."""
    found = select(sessions.c.ip_address).where(sessions.c.user_id == user_id, sessions.c.ip_address.is_not(None))
    return (await session.execute(found.distinct())).scalars().all()


async def erase_traces(session: Session, user_id: str, *, email: str) -> None:
    """Empty what was kept of a person beside their account: addresses, user agents, their own words, kept answers.

    The rows stay: that somebody signed in, and asked for something, is no personal data without them.
    """
    of_person = select(sessions.c.id).where(sessions.c.user_id == user_id)
    await session.execute(delete(external_sessions).where(external_sessions.c.session_id.in_(of_person)))
    await session.execute(
        update(sessions).where(sessions.c.user_id == user_id).values(ip_address=None, user_agent=None, device_hash=None)
    )
    await session.execute(
        update(access_requests).where(access_requests.c.user_id == user_id).values(reason="", decision_reason=None)
    )
    words = approvals.c.decided_by == user_id
    await session.execute(update(approvals).where(words, approvals.c.reason.is_not(None)).values(reason=""))
    # What waits about the account says perhaps who it is; it ends now, and the loop that notes such ends says so.
    waits = (approvals.c.target == f"user/{user_id}", approvals.c.state == "pending")
    await session.execute(update(approvals).where(*waits).values(inputs={}, expires_at=func.now()))
    await session.execute(delete(security_facts).where(security_facts.c.user_id == user_id))
    await driver(session).execute(_BLUR_EVENTS, user_id, _UUID)
    await session.execute(delete(idempotency_keys).where(idempotency_keys.c.caller == user_id))
    await session.execute(delete(reset_requests).where(reset_requests.c.email == email))
    await session.execute(update(operations).where(operations.c.admin_id == user_id).values(result=None, error=None))


async def load_named(session: Session, user_id: str | None = None) -> Sequence[Named]:
    """The identities of a person that still bear their own names; without one, of everybody whose data was erased."""
    found = select(external_identities.c.user_id, external_identities.c.issuer, external_identities.c.subject).where(
        ~external_identities.c.subject.startswith(PREFIX, autoescape=True)
    )
    if user_id is not None:
        found = found.where(external_identities.c.user_id == user_id)
    else:
        found = found.join(users, users.c.id == external_identities.c.user_id).where(users.c.erased_at.is_not(None))
    return [Named(**row._mapping) for row in await session.execute(found)]


async def rename(session: Session, named: Named, *, subject: str) -> None:
    """An identity is called by its pseudonym from now on."""
    await session.execute(
        update(external_identities)
        .where(external_identities.c.issuer == named.issuer, external_identities.c.subject == named.subject)
        .values(subject=subject)
    )
