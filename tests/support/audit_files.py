"""A made audit log written as each of the files that its verifier takes: export, tiles, and a database dump."""

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.support.audit_log import MadeLog, frontier_of

Write = Callable[[MadeLog, Path], Path]
ENTRY_COLUMNS = (
    "sequence", "recorded_at", "id", "event_id", "event_type", "action", "target_type", "target_id", "admin_user_id",
    "admin_username", "actor_type", "outcome", "severity", "details", "changes", "ip_address", "user_agent", "request_id",
    "operation_id", "trace_id", "source", "producer", "producer_seq", "created_at", "words",
)  # fmt: skip


def b64(data: bytes) -> str:
    """Base64 as JSON has it."""
    return base64.b64encode(data).decode()


def compact(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def export_lines(log: MadeLog, *, first: int = 0) -> list[str]:
    """The lines of an export of what is under the head."""
    header: dict[str, object] = {
        "format": "reeve-audit-log/1", "checkpoint": log.head.note, "first": first, "size": log.head.size,
        "root": b64(log.head.root),
    }  # fmt: skip
    if first:
        joined = frontier_of(log.hashes(first))
        header["left"] = [b64(joined[at : at + 32]) for at in range(0, len(joined), 32)]
    kept = [(place, entry) for place, entry in zip(log.places, log.entries, strict=True) if first <= place < log.size]
    return [compact(header)] + [
        compact({"index": place, "leaf": b64(one.body), "leaf_hash": b64(one.leaf_hash), "openings": one.openings})
        for place, one in kept
    ]


def write_export(log: MadeLog, folder: Path) -> Path:
    """An export."""
    path = folder / "log.jsonl"
    path.write_text("".join(f"{line}\n" for line in export_lines(log)), encoding="utf-8")
    return path


def write_packed_export(log: MadeLog, folder: Path) -> Path:
    """An export under gzip."""
    path = folder / "log.jsonl.gz"
    path.write_bytes(gzip.compress(write_export(log, folder).read_bytes(), 1))
    return path


def write_tiles(log: MadeLog, folder: Path) -> Path:
    """A directory of tiles with openings."""
    root = folder / "tiles"
    root.mkdir()
    (root / "checkpoint").write_text(log.head.note, encoding="utf-8")
    kept = [(place, one) for place, one in zip(log.places, log.entries, strict=True) if place < log.size]
    _write_level(root, "entries", [len(one.body).to_bytes(2, "big") + one.body for _, one in kept], log.head.size)
    _write_level(root, "0", [one.leaf_hash for _, one in kept], log.head.size)
    for height in (8, 16):
        nodes = [one for (level, _), one in sorted(log.nodes.items()) if level == height]
        _write_level(root, str(height // 8), nodes, log.head.size >> height)
    lines = [compact({"index": place, "openings": one.openings}) for place, one in kept]
    (root / "openings.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return root


def _write_level(root: Path, name: str, parts: list[bytes], size: int) -> None:
    """The tiles of a level; their names say how many parts there should be, whatever is left of them."""
    for number in range(-(-len(parts) // 256)):
        tile = parts[number * 256 : number * 256 + 256]
        thousands, rest = divmod(number, 1000)
        place = f"x{thousands:03d}/{rest:03d}" if thousands else f"{rest:03d}"
        width = min(256, size - number * 256)
        path = root / "tile" / name / (place if width == 256 else f"{place}.p/{width}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(tile))


def field(value: str | bytes | int | None) -> str:
    """A value in COPY's text format."""
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    text = str(value).replace("\\", "\\\\")
    return text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r").replace("\b", "\\b")


def copied(table: str, columns: Iterable[str], rows: Iterable[Iterable[str | bytes | int | None]]) -> str:
    """One table as `pg_dump` writes it."""
    lines = "".join("\t".join(map(field, row)) + "\n" for row in rows)
    return (
        f"--\n-- Data for Name: {table}\n--\n\nCOPY audit.{table} ({', '.join(columns)}) FROM stdin;\n{lines}\\.\n\n\n"
    )


def write_dump(log: MadeLog, folder: Path, **changed: str) -> Path:
    """A plain dump of the schema, the leaves in two partitions. `changed` has the text of tables that are to be other."""
    path = folder / "dump.sql"
    rows = list(zip(log.places, log.entries, strict=True))
    half = len(rows) // 2
    leaf_columns = ("sequence", "body", "leaf_hash")
    tables: dict[str, str] = {
        "log_leaves_0": copied("log_leaves_0", leaf_columns, ((n, one.body, one.leaf_hash) for n, one in rows[:half])),
        "entries_2026_03": copied("entries_2026_03", ENTRY_COLUMNS, (_entry(n, one.row) for n, one in rows if n not in log.pruned)),
        "entries_default": copied("entries_default", ENTRY_COLUMNS, []),
        "log_nodes": copied(
            "log_nodes", ("level", "idx", "hash"), ((*place, value) for place, value in log.nodes.items())
        ),
        "log_leaves_1": copied("log_leaves_1", leaf_columns, ((n, one.body, one.leaf_hash) for n, one in rows[half:])),
        "log_checkpoints": copied(
            "log_checkpoints", ("size", "root", "note", "signed_at"),
            ((one.size, one.root, one.note, "2026-03-01 12:00:00+00") for one in log.checkpoints),
        ),
        "log_head": copied("log_head", ("is_only", "size", "root", "frontier"), [("t", log.size, log.root, log.frontier)]),
        "log_openings": copied(
            "log_openings", ("sequence", "seed", "salts"), ((n, one.seed, salts_text(one.salts)) for n, one in rows if n not in log.pruned)
        ),
        "log_state": copied("log_state", ("is_only", "size"), [("t", log.counted)]),
        "tallies": copied("tallies", ("day", "count"), [("2026-03-01", 1)]),
    }  # fmt: skip
    head = "--\n-- PostgreSQL database dump\n--\n\nCREATE SCHEMA audit;\n\n"
    path.write_text(head + "".join((tables | changed).values()), encoding="utf-8")
    return path


def _entry(place: int, row: Mapping[str, str | None]) -> list[str | None]:
    return [str(place) if name == "sequence" else row[name] for name in ENTRY_COLUMNS]


def salts_text(salts: Mapping[str, bytes] | None) -> str | None:
    """Salts as the database keeps them."""
    return None if salts is None else json.dumps({path: b64(salt) for path, salt in salts.items()})


WRITERS: dict[str, Write] = {"export": write_export, "tiles": write_tiles, "dump": write_dump}
