"""Every SQL statement that erases what the gateway knows of a person."""

from sqlalchemy import delete, update

from libs.common.database.engine import Session
from services.gateway.tables import (
    access_requests,
    approvals,
    idempotency_keys,
    security_events,
    security_facts,
    sessions,
)


async def erase_traces(session: Session, user_id: str) -> None:
    """Empty what was kept of a person beside their account: addresses, user agents, their own words, kept answers.

    The rows stay: that somebody signed in, and asked for something, is no personal data without them.
    """
    await session.execute(
        update(sessions).where(sessions.c.user_id == user_id).values(ip_address=None, user_agent=None)
    )
    await session.execute(update(access_requests).where(access_requests.c.user_id == user_id).values(reason=""))
    words = approvals.c.decided_by == user_id
    await session.execute(update(approvals).where(words, approvals.c.reason.is_not(None)).values(reason=""))
    await session.execute(delete(security_facts).where(security_facts.c.user_id == user_id))
    await session.execute(
        update(security_events)
        .where(security_events.c.user_id == user_id)
        .values(ip_address=None, user_agent=None, details={})
    )
    await session.execute(delete(idempotency_keys).where(idempotency_keys.c.caller == user_id))
