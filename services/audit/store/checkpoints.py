"""Signed checkpoints: one for a size, written once."""

from dataclasses import dataclass

from libs.common.database.engine import Connection, Session, driver


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed head and its note."""

    size: int
    root: bytes
    note: str


async def append(session: Session, checkpoint: StoredCheckpoint) -> None:
    """Publish a note. One that is there already stays: the same head is signed the same way, and no size has two heads."""
    await driver(session).execute(
        "INSERT INTO log_checkpoints (size, root, note) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING",
        checkpoint.size,
        checkpoint.root,
        checkpoint.note,
    )


async def covering(connection: Connection, size: int) -> str | None:
    """The first note over at least `size` entries, or None."""
    found: str | None = await connection.fetchval(
        "SELECT note FROM log_checkpoints WHERE size >= $1 ORDER BY size LIMIT 1", size
    )
    return found


async def newest(session: Session) -> StoredCheckpoint | None:
    """The newest one, or None."""
    row = await driver(session).fetchrow("SELECT size, root, note FROM log_checkpoints ORDER BY size DESC LIMIT 1")
    return None if row is None else StoredCheckpoint(**row)


async def newest_in_step(session: Session, *, seconds: float) -> StoredCheckpoint | None:
    """The newest one that was signed before the last multiple of `seconds` of the database's clock, or None.

    Whoever asks within one such span is told the same one.
    """
    row = await driver(session).fetchrow(
        "SELECT size, root, note FROM log_checkpoints"
        " WHERE signed_at <= to_timestamp(floor(extract(epoch FROM clock_timestamp())::float8 / $1) * $1)"
        " ORDER BY size DESC LIMIT 1",
        float(seconds),
    )
    return None if row is None else StoredCheckpoint(**row)
