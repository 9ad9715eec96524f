"""How far each anchor is, and what time-stampers answered."""

from libs.common.database.engine import Session, driver

LOCK = "SELECT pg_try_advisory_lock(hashtextextended('reeve.audit.anchor.' || $1, 0))"

UNLOCK = "SELECT pg_advisory_unlock_all()"


async def reached(session: Session, anchor: str) -> int | None:
    """The size of the last head that this anchor keeps, or None."""
    found: int | None = await driver(session).fetchval("SELECT size FROM log_anchors WHERE anchor = $1", anchor)
    return found


async def keep(session: Session, anchor: str, *, size: int, evidence: bytes | None) -> None:
    """This anchor keeps a head; its evidence is written once."""
    connection = driver(session)
    await connection.execute(
        "INSERT INTO log_anchors (anchor, size, anchored_at) VALUES ($1, $2, clock_timestamp())"
        " ON CONFLICT (anchor) DO UPDATE SET size = greatest(log_anchors.size, excluded.size),"
        " anchored_at = excluded.anchored_at, failures = 0, error = NULL",
        anchor, size,
    )  # fmt: skip
    if evidence is not None:
        await connection.execute(
            "INSERT INTO log_timestamps (size, answer) VALUES ($1, $2) ON CONFLICT DO NOTHING", size, evidence
        )


async def fail(session: Session, anchor: str, reason: str) -> None:
    """It did not keep the newest head, and why."""
    await driver(session).execute(
        "INSERT INTO log_anchors (anchor, failures, error) VALUES ($1, 1, $2)"
        " ON CONFLICT (anchor) DO UPDATE SET failures = log_anchors.failures + 1, error = excluded.error",
        anchor, reason,
    )  # fmt: skip
