"""The stored tree: its head, which is its fence, the leaves that are not in it yet, and the hashes that proofs need."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.database.engine import Session, driver
from services.audit.log.proofs import Range, nodes_of, proof_of
from services.audit.log.tiles import Tile, hash_from, tiles_for
from services.audit.log.tree import HASH_BYTES, KEPT_LEVELS, Frontier, Kept

_PENDING = """
    SELECT count(*) AS count, min(sequence) AS first, max(sequence) AS last,
           string_agg(leaf_hash, ''::bytea ORDER BY sequence) AS hashes
    FROM (SELECT sequence, leaf_hash FROM log_leaves WHERE sequence >= $1 ORDER BY sequence LIMIT $2) AS pending
"""
_FIRST_HOLE = """
    SELECT min(place) FROM generate_series($1::bigint, $2::bigint) AS place
    WHERE NOT EXISTS (SELECT FROM log_leaves WHERE sequence = place)
"""
_STATE = """
    SELECT (SELECT size FROM log_state) AS entries, size, root,
           (SELECT size FROM log_checkpoints ORDER BY size DESC LIMIT 1) AS signed,
           (SELECT signed_at FROM log_checkpoints ORDER BY size DESC LIMIT 1) AS signed_at
    FROM log_head
"""


@dataclass(frozen=True, slots=True)
class LogState:
    """How far the log is: entries stored, leaves in the tree, the root of these, and the newest signed head."""

    entries: int
    size: int
    root: bytes
    signed: int | None
    signed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Pending:
    """The hashes of leaves that follow the tree without a gap, and the first number that is missing among more of them."""

    hashes: Sequence[bytes]
    hole: int | None


async def state(session: Session) -> LogState:
    """Where the log stands, without waiting for anybody."""
    return LogState(**await driver(session).fetchrow(_STATE))


async def locked_frontier(session: Session) -> Frontier:
    """The tree as it stands; whoever has it holds the head's row until the end of the transaction."""
    row = await driver(session).fetchrow("SELECT size, frontier FROM log_head FOR UPDATE")
    return Frontier.unpack(row["size"], row["frontier"])


async def pending(session: Session, *, after: int, most: int) -> Pending:
    """Up to `most` leaf hashes from place `after` on, as far as no place is missing."""
    connection = driver(session)
    row = await connection.fetchrow(_PENDING, after, most)
    if not row["count"]:
        return Pending((), None)
    whole: bytes = row["hashes"]
    hashes = [whole[start : start + HASH_BYTES] for start in range(0, len(whole), HASH_BYTES)]
    if row["first"] == after and row["last"] == after + row["count"] - 1:
        return Pending(hashes, None)
    # More are there behind the hole than may be waited for, so whoever is missing will not come by itself.
    hole: int = await connection.fetchval(_FIRST_HOLE, after, after + most)
    return Pending(hashes[: hole - after], hole)


async def store_growth(session: Session, frontier: Frontier, kept: Sequence[Kept]) -> None:
    """Write the finished subtrees, and the head that follows the one `locked_frontier` gave."""
    connection = driver(session)
    if kept:
        await connection.copy_records_to_table("log_nodes", columns=("level", "idx", "hash"), records=kept)
    await connection.execute(
        "UPDATE log_head SET size = $1, root = $2, frontier = $3", frontier.size, frontier.root, frontier.pack()
    )


async def proof(session: Session, ranges: Sequence[Range]) -> list[bytes]:
    """The hashes of an inclusion or consistency proof. The tree must reach as far; raises `ValueError` where hashes lack."""
    nodes = nodes_of(ranges)
    tiles: dict[tuple[int, int], list[bytes]] = {}
    for (level, number), width in tiles_for(nodes).items():
        tiles[level, number] = await hashes(session, Tile(level, number, width))
    return proof_of(ranges, {node: hash_from(tiles, node) for node in nodes})


async def hashes(session: Session, tile: Tile) -> list[bytes]:
    """The hashes of a tile, fewer where the log does not reach as far."""
    assert tile.level is not None
    first, end = tile.first, tile.first + tile.width
    if tile.level == 0:
        sql = "SELECT leaf_hash AS hash FROM log_leaves WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence"
        rows = await driver(session).fetch(sql, first, end)
    else:
        sql = "SELECT hash FROM log_nodes WHERE level = $3 AND idx >= $1 AND idx < $2 ORDER BY idx"
        rows = await driver(session).fetch(sql, first, end, tile.level * KEPT_LEVELS)
    return [row["hash"] for row in rows]


async def bodies(session: Session, tile: Tile) -> list[bytes]:
    """The leaves of a tile of entries, fewer where the log does not reach as far."""
    sql = "SELECT body FROM log_leaves WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence"
    return [row["body"] for row in await driver(session).fetch(sql, tile.first, tile.first + tile.width)]
