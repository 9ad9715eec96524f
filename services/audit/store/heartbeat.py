"""The log's heartbeat: whose turn it is, and how far every producer was heard."""

from collections.abc import Mapping

from libs.common.broker.topology import AUDIT_EVENTS
from libs.common.database.engine import Session, driver
from libs.common.delivery.senders import SERVICES


async def take(session: Session, *, every_seconds: float) -> bool:
    """Whether the last beat is that long ago; then this one is the caller's, if its transaction commits."""
    sql = """
        UPDATE log_heartbeat SET at = clock_timestamp()
        WHERE at <= clock_timestamp() - make_interval(secs => $1) RETURNING true
    """
    return bool(await driver(session).fetchval(sql, every_seconds))


async def heard(session: Session) -> Mapping[str, int]:
    """The highest number up to which every event of a service was taken in, by service."""
    sql = """
        SELECT producer, watermark FROM inbox
        WHERE consumer = $1 AND producer = ANY($2::text[]) AND watermark > 0 ORDER BY producer
    """
    rows = await driver(session).fetch(sql, AUDIT_EVENTS.name, list(SERVICES))
    return {row["producer"]: row["watermark"] for row in rows}
