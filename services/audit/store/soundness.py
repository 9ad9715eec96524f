"""Deriving the stored tree again from the stored bytes, a bounded part at a time."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import orjson

from libs.common.database.engine import Session, driver
from services.audit.log.checkpoints import open_checkpoint
from services.audit.log.notes import NoteRefused, VerifierKey
from services.audit.log.tiles import TILE_WIDTH
from services.audit.log.tree import EMPTY_ROOT, KEPT_LEVELS, Frontier, fold, grow, subtrees
from services.audit.models.redactions import lost_by
from services.audit.models.retention import Span
from services.audit.models.soundness import Stored, problem_of
from services.audit.store import checkpoints, prunes, tree
from services.audit.store.leaves import ENTRY_COLUMNS, entry_from

NODE, ROOT, CHECKPOINT, LEAF_MISSING = "node", "root", "checkpoint", "leaf_missing"

_STORED = f"""
    SELECT l.sequence, l.body, l.leaf_hash, o.seed, o.salts::text AS salts, e.id::text AS id,
           e.redactions::text AS redactions, {ENTRY_COLUMNS}
    FROM log_leaves AS l
    LEFT JOIN log_openings AS o ON o.sequence = l.sequence
    LEFT JOIN entries AS e ON e.sequence = l.sequence AND e.sequence >= $1 AND e.sequence < $2
    WHERE l.sequence >= $1 AND l.sequence < $2 ORDER BY l.sequence
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What does not hold, and the first sequence it touches."""

    sequence: int
    problem: str


async def check_leaves(session: Session, *, first: int, end: int) -> Finding | None:
    """The first place from `first` to before `end` where leaf, entry or commitment is not right, or a kept subtree of 256
    that lies whole in there; None where all holds."""
    start = first
    while start < end:
        stop = min(end, (start // TILE_WIDTH + 1) * TILE_WIDTH)
        found = await _check_some(session, start, stop)
        if found is not None:
            return found
        # Others have their turn: 256 leaves take some ten milliseconds.
        await asyncio.sleep(0)
        start = stop
    return None


async def check_head(session: Session, key: VerifierKey) -> Finding | None:
    """Whether the kept subtrees above 256 leaves, the head, and the newest checkpoint follow from those of 256."""
    row = await driver(session).fetchrow("SELECT size, root, frontier FROM log_head")
    size: int = row["size"]
    whole = size >> KEPT_LEVELS
    upper = await driver(session).fetch(
        "SELECT level, idx, hash FROM log_nodes WHERE (idx + 1) << level <= $1 ORDER BY level, idx", size
    )
    lowest = [one["hash"] for one in upper if one["level"] == KEPT_LEVELS]
    if len(lowest) != whole:
        return Finding(len(lowest) << KEPT_LEVELS, NODE)
    frontier, kept = grow(Frontier(), lowest)
    stored = {(one["level"], one["idx"]): one["hash"] for one in upper if one["level"] > KEPT_LEVELS}
    for node in kept:
        if stored.get((node.level + KEPT_LEVELS, node.number)) != node.hash:
            return Finding(node.number << (node.level + KEPT_LEVELS), NODE)
    sql = "SELECT leaf_hash FROM log_leaves WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence"
    rest = [one["leaf_hash"] for one in await driver(session).fetch(sql, whole << KEPT_LEVELS, size)]
    tail, _ = grow(Frontier(), rest)
    hashes = (*frontier.hashes, *tail.hashes)
    if len(rest) != size % TILE_WIDTH or b"".join(hashes) != row["frontier"] or fold(hashes) != row["root"]:
        return Finding(size, ROOT)
    return await _check_checkpoint(session, key, size)


async def _check_checkpoint(session: Session, key: VerifierKey, size: int) -> Finding | None:
    newest = await checkpoints.newest(session)
    if newest is None:
        return None
    try:
        signed = open_checkpoint(newest.note, key)
        [root] = await tree.proof(session, [(0, signed.size)]) if signed.size else [EMPTY_ROOT]
    except (NoteRefused, ValueError):
        return Finding(min(newest.size, size), CHECKPOINT)
    if signed.size > size or (newest.size, newest.root) != (signed.size, signed.root) or signed.root != root:
        return Finding(min(newest.size, size), CHECKPOINT)
    return None


async def _check_some(session: Session, start: int, stop: int) -> Finding | None:
    """The same for leaves of one tile."""
    rows = await driver(session).fetch(_STORED, start, stop)
    is_whole = all(row["id"] is not None for row in rows)
    spans = [] if is_whole else await prunes.announced(session, first=start, end=stop)
    for place, row in zip(range(start, stop), [*rows, None], strict=False):
        if row is None or row["sequence"] != place:
            return Finding(place, LEAF_MISSING)
        problem = problem_of(_stored(row, spans))
        if problem is not None:
            return Finding(place, problem)
    if stop - start < TILE_WIDTH:
        return None
    [whole] = subtrees(start, stop)
    made = grow(Frontier(), [row["leaf_hash"] for row in rows])[0].root
    kept = await driver(session).fetchval(
        "SELECT hash FROM log_nodes WHERE level = $1 AND idx = $2", whole.level, whole.number
    )
    return None if kept == made else Finding(start, NODE)


def _stored(row: asyncpg.Record, spans: Sequence[Span]) -> Stored:
    salts: dict[str, str] = orjson.loads(row["salts"] or "{}")
    return Stored(
        sequence=row["sequence"],
        body=row["body"],
        leaf_hash=row["leaf_hash"],
        entry=None if row["id"] is None else entry_from(row),
        entry_id=row["id"],
        seed=row["seed"],
        salts={path: base64.b64decode(salt) for path, salt in salts.items()},
        lost=lost_by(row["redactions"]),
        is_announced=any(span.names(row["sequence"], row["body"]) for span in spans),
    )
