"""Every SQL statement about failed sign-ins."""

from collections.abc import Sequence

from sqlalchemy import text

from libs.common.database.engine import Session
from services.gateway.features.attempts.models import FORGOTTEN_AFTER_DAYS, KNOWN_PLACE_DAYS

MOST_PURGED = 100
MOST_PLACES = 200


async def find_locks(session: Session, keys: Sequence[bytes]) -> dict[bytes, int]:
    """For how many whole seconds more each counter is locked, of those that are."""
    rows = await session.execute(
        text(
            "SELECT key, ceil(extract(epoch FROM locked_until - now()))::int AS seconds FROM sign_in_failures"
            " WHERE key = ANY(:keys) AND locked_until > now()"
        ),
        {"keys": list(keys)},
    )
    return {row.key: row.seconds for row in rows}


async def find_places(session: Session, user_id: str) -> list[str | None]:
    """The addresses from which a user signed in lately."""
    rows = await session.execute(
        text(
            "SELECT DISTINCT ip_address FROM sessions"
            " WHERE user_id = :user_id AND login_at > now() - make_interval(days => :days) LIMIT :most"
        ),
        {"user_id": user_id, "days": KNOWN_PLACE_DAYS, "most": MOST_PLACES},
    )
    return [row.ip_address for row in rows]


async def add_failure(session: Session, key: bytes) -> int:
    """Count one failure; how many there are in a row. What is a day old is forgotten first."""
    added = await session.execute(
        text(
            "INSERT INTO sign_in_failures AS f (key, failures) VALUES (:key, 1)"
            " ON CONFLICT (key) DO UPDATE SET last_at = now(), failures ="
            " CASE WHEN f.last_at < now() - make_interval(days => :days) THEN 1 ELSE f.failures + 1 END"
            " RETURNING failures"
        ),
        {"key": key, "days": FORGOTTEN_AFTER_DAYS},
    )
    return int(added.scalar_one())


async def lock(session: Session, key: bytes, *, seconds: int) -> None:
    """Lock a counter from now on."""
    await session.execute(
        text("UPDATE sign_in_failures SET locked_until = now() + make_interval(secs => :seconds) WHERE key = :key"),
        {"key": key, "seconds": seconds},
    )


async def forget(session: Session, key: bytes) -> None:
    """Start a counter anew."""
    await session.execute(text("DELETE FROM sign_in_failures WHERE key = :key"), {"key": key})


async def purge(session: Session) -> None:
    """Delete some counters that nothing was counted under for a day."""
    await session.execute(
        text(
            "DELETE FROM sign_in_failures WHERE key IN (SELECT key FROM sign_in_failures"
            " WHERE last_at < now() - make_interval(days => :days) LIMIT :most FOR UPDATE SKIP LOCKED)"
        ),
        {"days": FORGOTTEN_AFTER_DAYS, "most": MOST_PURGED},
    )
