"""A clean log of any size, written as export, tiles and dump at once and never held in memory."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from tests.support.audit_entries import MadeEntry, made_entry
from tests.support.audit_files import ENTRY_COLUMNS, b64, compact, field, salts_text
from tests.support.audit_log import Signer, root_of

_ROOT = bytes(32)


def write_large(folder: Path, size: int) -> tuple[dict[str, Path], Signer]:
    """The paths of the three forms by name, and the signer of their head."""
    signer = Signer()
    tiles = folder / "tiles"
    with ExitStack() as files:
        lines = files.enter_context((folder / "log.jsonl").open("w", encoding="utf-8"))
        tables = {
            name: files.enter_context((folder / name).open("w+", encoding="utf-8"))
            for name in ("log_leaves", "entries", "log_openings")
        }
        tiles.mkdir()
        opened = files.enter_context((tiles / "openings.jsonl").open("w", encoding="utf-8"))
        lines.write(_header(signer, size, _ROOT))
        groups: list[bytes] = []
        for number, group in enumerate(_groups(size)):
            for index, entry in group:
                _write_entry(index, entry, lines, opened, tables)
            hashes = [entry.leaf_hash for _, entry in group]
            groups.append(root_of(hashes))
            bodies = [len(entry.body).to_bytes(2, "big") + entry.body for _, entry in group]
            _tile(tiles, "entries", number, len(group), b"".join(bodies))
            _tile(tiles, "0", number, len(group), b"".join(hashes))
        root = root_of(groups)
        nodes = {8: groups[: size // 256]}
        nodes[16] = [root_of(nodes[8][at : at + 256]) for at in range(0, len(nodes[8]) // 256 * 256, 256)]
        for level, height in ((1, 8), (2, 16)):
            for at in range(0, len(nodes[height]), 256):
                part = nodes[height][at : at + 256]
                _tile(tiles, str(level), at // 256, len(part), b"".join(part))
        note = signer.checkpoint(size, root)
        (tiles / "checkpoint").write_text(note, encoding="utf-8")
        lines.seek(0)
        lines.write(_header(signer, size, root))
        _join(folder / "dump.sql", tables, nodes, head=(size, root, note))
    for name in tables:
        (folder / name).unlink()
    return {"export": folder / "log.jsonl", "tiles": tiles, "dump": folder / "dump.sql"}, signer


def _groups(size: int) -> Iterator[list[tuple[int, MadeEntry]]]:
    for start in range(0, size, 256):
        yield [(index, made_entry(index, size=size)) for index in range(start, min(start + 256, size))]


def _header(signer: Signer, size: int, root: bytes) -> str:
    """The first line of an export: as long with one root as with another, so that it can be written again at the end."""
    said = {
        "format": "reeve-audit-log/1", "checkpoint": signer.checkpoint(size, root), "first": 0, "size": size,
        "root": b64(root),
    }  # fmt: skip
    return f"{compact(said)}\n"


def _write_entry(index: int, entry: MadeEntry, lines: TextIO, opened: TextIO, tables: Mapping[str, TextIO]) -> None:
    openings = compact(entry.openings)
    lines.write(
        f'{{"index":{index},"leaf":"{b64(entry.body)}","leaf_hash":"{b64(entry.leaf_hash)}","openings":{openings}}}\n'
    )
    opened.write(f'{{"index":{index},"openings":{openings}}}\n')
    tables["log_leaves"].write(f"{index}\t{field(entry.body)}\t{field(entry.leaf_hash)}\n")
    tables["log_openings"].write(f"{index}\t{field(entry.seed)}\t{field(salts_text(entry.salts))}\n")
    tables["entries"].write("\t".join(field(entry.row[name]) for name in ENTRY_COLUMNS) + "\n")


def _tile(tiles: Path, kind: str, number: int, width: int, data: bytes) -> None:
    thousands, rest = divmod(number, 1000)
    place = f"x{thousands:03d}/{rest:03d}" if thousands else f"{rest:03d}"
    path = tiles / "tile" / kind / (place if width == 256 else f"{place}.p/{width}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _join(
    path: Path, tables: Mapping[str, TextIO], nodes: Mapping[int, list[bytes]], *, head: tuple[int, bytes, str]
) -> None:
    size, root, note = head
    columns = {
        "log_leaves": "sequence, body, leaf_hash",
        "entries": ", ".join(ENTRY_COLUMNS),
        "log_openings": "sequence, seed, salts",
    }
    with path.open("w", encoding="utf-8") as dump:
        for name, table in tables.items():
            dump.write(f"COPY audit.{name} ({columns[name]}) FROM stdin;\n")
            table.seek(0)
            while chunk := table.read(1 << 20):
                dump.write(chunk)
            dump.write("\\.\n\n")
        dump.write("COPY audit.log_nodes (level, idx, hash) FROM stdin;\n")
        for height, hashes in nodes.items():
            dump.writelines(f"{height}\t{index}\t{field(one)}\n" for index, one in enumerate(hashes))
        dump.write("\\.\n\nCOPY audit.log_checkpoints (size, root, note) FROM stdin;\n")
        dump.write(f"{size}\t{field(root)}\t{field(note)}\n\\.\n\n")
        dump.write(f"COPY audit.log_state (is_only, size) FROM stdin;\nt\t{size}\n\\.\n\n")
