"""Archives of the log: where the next one begins and may end, the lines that it holds, and the rows of verified ones."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import orjson

from libs.common.database.engine import Session, driver
from services.audit.log.proofs import Range
from services.audit.log.tree import subtrees
from services.audit.models.commitments import PATHS, private_values, salt_of
from services.audit.store import tree
from services.audit.store.checkpoints import StoredCheckpoint
from services.audit.store.leaves import ENTRY_COLUMNS, entry_from

FORMAT = "reeve-audit-log/1"
"""What the offline verifier reads."""

_ROWS = f"""
    SELECT l.sequence, l.body, l.leaf_hash, o.seed, o.salts::text AS salts, e.id::text AS id, {ENTRY_COLUMNS}
    FROM log_leaves AS l
    LEFT JOIN log_openings AS o ON o.sequence = l.sequence
    LEFT JOIN entries AS e ON e.sequence = l.sequence AND e.sequence >= $1 AND e.sequence < $2
    WHERE l.sequence >= $1 AND l.sequence < $2 ORDER BY l.sequence
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """A verified file with the entries `first` to before `ends`."""

    first: int
    ends: int
    file: str
    size: int
    sha256: bytes
    manifest: str
    signature: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines of an archive, and how many private members they open."""

    content: bytes
    entries: int
    opened: int


async def reached(session: Session) -> int:
    """Where the next archive begins."""
    return int(await driver(session).fetchval("SELECT coalesce(max(ends), 0) FROM log_archives"))


async def next_head(session: Session, *, first: int, until: int, most: int) -> StoredCheckpoint | None:
    """The signed head at which an archive from `first` on ends: the last one within `most` entries, else the next one
    there is; at the most at `until`. None where there is none yet."""
    connection = driver(session)
    for sql, bound in (
        ("size <= $2 ORDER BY size DESC", min(until, first + most)),
        ("size <= $2 ORDER BY size", until),
    ):
        row = await connection.fetchrow(
            f"SELECT size, root, note FROM log_checkpoints WHERE size > $1 AND {sql} LIMIT 1", first, bound
        )
        if row is not None:
            return StoredCheckpoint(**row)
    return None


async def header(session: Session, *, first: int, head: StoredCheckpoint) -> bytes:
    """The first line of an archive: the head, and what lies left of its first entry."""
    said = {
        "format": FORMAT,
        "checkpoint": head.note,
        "first": first,
        "size": head.size,
        "root": _base64(head.root),
        "left": [_base64(one) for one in await tree.proof(session, _left_of(first))],
    }
    return orjson.dumps(said) + b"\n"


async def lines(session: Session, *, first: int, ends: int) -> Lines:
    """The lines of a few entries: each with its leaf, and with what can still be shown of it. Raises `ValueError` where
    a leaf is missing."""
    rows = await driver(session).fetch(_ROWS, first, ends)
    if [row["sequence"] for row in rows] != list(range(first, ends)):
        raise ValueError(f"leaves between {first} and {ends} are missing")
    made = [_line(row) for row in rows]
    return Lines(b"".join(line for line, _ in made), len(made), sum(opened for _, opened in made))


async def append(session: Session, archive: Archive) -> None:
    """A file that was read back and verified."""
    await driver(session).execute(
        "INSERT INTO log_archives (first, ends, follows, file, bytes, sha256, manifest, signature)"
        " VALUES ($1, $2, nullif($1::bigint, 0), $3, $4, $5, $6, $7)",
        archive.first, archive.ends, archive.file, archive.size, archive.sha256, archive.manifest, archive.signature,
    )  # fmt: skip


async def find(session: Session, first: int) -> Archive:
    """The one that begins there."""
    row = await driver(session).fetchrow(f"{_SELECT} WHERE first = $1", first)
    return Archive(**row)


async def before(session: Session, place: int) -> Sequence[Archive]:
    """Those with entries before this place, oldest first."""
    return [Archive(**row) for row in await driver(session).fetch(f"{_SELECT} WHERE first < $1 ORDER BY first", place)]


_SELECT = "SELECT first, ends, file, bytes AS size, sha256, manifest, signature FROM log_archives"


def _left_of(first: int) -> list[Range]:
    """The full subtrees before this place, largest first, each as the range of its leaves."""
    return [(node.number << node.level, (node.number + 1) << node.level) for node in subtrees(0, first)]


def _line(row: asyncpg.Record) -> tuple[bytes, int]:
    said = {"index": row["sequence"], "leaf": _base64(row["body"]), "leaf_hash": _base64(row["leaf_hash"])}
    openings = _openings(row) if row["id"] is not None else {}
    if openings:
        said["openings"] = openings
    return orjson.dumps(said) + b"\n", len(openings)


def _openings(row: asyncpg.Record) -> dict[str, dict[str, str]]:
    """What opens; a member that was erased is not shown, and the log itself says that it was."""
    salts: dict[str, str] = orjson.loads(row["salts"] or "{}")
    found: dict[str, dict[str, str]] = {}
    for path, value in zip(PATHS, private_values(entry_from(row)), strict=True):
        salt = _base64(salt_of(row["seed"], path)) if row["seed"] is not None else salts.get(path)
        if value is not None and salt is not None:
            found[path] = {"salt": salt, "value": value}
    return found


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
