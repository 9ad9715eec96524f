"""Cosignatures of signed heads: one of each witness for a size, written once, and the newest head that enough of them bear."""

from libs.common.database.engine import Session, driver
from services.audit.log.cosignatures import Cosignature, WitnessKey
from services.audit.models.witnesses import Quorum
from services.audit.store.checkpoints import StoredCheckpoint

MOST_LINES = 16
"""Cosignatures that one note is given with; C2SP asks every reader to take as many signatures."""

# Nothing above the head that the slowest of a quorum reached can have one, so the look begins there. From there on down heads
# are tried that any of the witnesses cosigned; the bound is for witnesses that never met. The beginning is a scalar, so that the
# index finds it: as a join it was read from the top, 250 ms behind a witness that had stopped 600,000 rows ago, now 1.
_WITNESSED = """
    WITH asked AS (SELECT * FROM unnest($1::text[], $2::bytea[]) AS asked (witness, key_id)),
    reached AS (
        SELECT (SELECT max(size) FROM log_cosignatures AS c WHERE c.witness = asked.witness AND c.key_id = asked.key_id)
            AS size FROM asked
    ),
    highest AS (SELECT size FROM reached WHERE size IS NOT NULL ORDER BY size DESC OFFSET $3 - 1 LIMIT 1),
    tried AS (
        SELECT c.size, c.witness, c.key_id FROM log_cosignatures AS c
        WHERE c.size <= (SELECT size FROM highest) ORDER BY c.size DESC LIMIT 10000
    )
    SELECT size FROM tried JOIN asked USING (witness, key_id)
    GROUP BY size HAVING count(*) >= $3 ORDER BY size DESC LIMIT 1
"""
_WAITING = """
    SELECT extract(epoch FROM clock_timestamp() - signed_at)::float8 FROM log_checkpoints
    WHERE size > $1 ORDER BY size LIMIT 1
"""


async def append(session: Session, *, size: int, key: WitnessKey, cosignature: Cosignature) -> None:
    """Keep the cosignature of a witness; the first of it for a size stays."""
    await driver(session).execute(
        "INSERT INTO log_cosignatures (size, witness, key_id, cosigned_at, line)"
        " VALUES ($1, $2, $3, to_timestamp($4), $5) ON CONFLICT DO NOTHING",
        size, key.name, key.key_id, cosignature.time, cosignature.line,
    )  # fmt: skip


async def cosigned(session: Session, checkpoint: StoredCheckpoint) -> str:
    """The note of a head with every cosignature of it that is kept behind the log's own signature."""
    sql = "SELECT line FROM log_cosignatures WHERE size = $1 ORDER BY cosigned_at, witness LIMIT $2"
    return checkpoint.note + "".join(
        [row["line"] for row in await driver(session).fetch(sql, checkpoint.size, MOST_LINES)]
    )


async def witnessed_size(session: Session, quorum: Quorum | None) -> int | None:
    """The size of the newest head that the quorum cosigned, or None."""
    if quorum is None:
        return None
    names, key_ids = [key.name for key in quorum.keys], [key.key_id for key in quorum.keys]
    found: int | None = await driver(session).fetchval(_WITNESSED, names, key_ids, quorum.least)
    return found


async def witnessed(session: Session, quorum: Quorum | None) -> StoredCheckpoint | None:
    """The newest head that the quorum cosigned, or None."""
    size = await witnessed_size(session, quorum)
    row = await driver(session).fetchrow("SELECT size, root, note FROM log_checkpoints WHERE size = $1", size)
    return None if row is None else StoredCheckpoint(**row)


async def waiting_seconds(session: Session, *, witnessed: int | None) -> float:
    """For how long the first signed head beyond the witnessed one waits; 0 where there is none."""
    return float(await driver(session).fetchval(_WAITING, -1 if witnessed is None else witnessed) or 0.0)
