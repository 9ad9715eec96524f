"""No byte of a log can be changed without being found: in its leaves, hashes, heads and openings, and in its files as a whole."""

import base64
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.verifier.findings import Kind
from tests.support.audit_files import WRITERS, b64, write_dump, write_export, write_tiles
from tests.support.audit_log import MadeLog, made_log, root_of
from tests.support.audit_verdicts import first_of_each, is_noticed, kinds_of, verdict_on

WHOLE = made_log(260, checkpoints=(100,))
FORMS = st.sampled_from(sorted(WRITERS))


def flipped(data: bytes, place: int, by: int) -> bytes:
    """One byte of it changed."""
    return data[:place] + bytes([data[place] ^ by]) + data[place + 1 :]


def verdict_kinds(log: MadeLog, form: str) -> set[Kind]:
    with tempfile.TemporaryDirectory() as folder:
        return kinds_of(verdict_on(WRITERS[form](log, Path(folder)), WHOLE.signer.vkey))


def consequences(index: int) -> set[Kind]:
    """A redaction that is damaged is no redaction: what it covered is then erased without one."""
    return {Kind.COMMITMENT} if index % 100 == 50 else set()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 900), st.lists(st.integers(0, 900), max_size=3), st.integers(0, 30), FORMS)
def test_whatever_log_is_built_it_holds(size: int, older: list[int], pending: int, form: str) -> None:
    log = made_log(size, checkpoints=sorted({one for one in older if one < size}), pending=pending)
    kept = [log.signer.checkpoint(one, root_of(log.hashes(one))) for one in older if one <= size]
    with tempfile.TemporaryDirectory() as folder:
        assert first_of_each(verdict_on(WRITERS[form](log, Path(folder)), log.signer.vkey, older=kept)) == {}


@settings(max_examples=60, deadline=None)
@given(st.data(), FORMS)
def test_any_byte_of_a_leaf(data: st.DataObject, form: str) -> None:
    log = WHOLE.copy()
    index = data.draw(st.integers(0, 259))
    entry = log.entries[index]
    entry.body = flipped(entry.body, data.draw(st.integers(0, len(entry.body) - 1)), data.draw(st.integers(1, 255)))
    assert verdict_kinds(log, form) - consequences(index) == {Kind.LEAF}


@settings(max_examples=40, deadline=None)
@given(st.data(), FORMS)
def test_any_byte_of_a_leaf_with_its_hash_made_anew(data: st.DataObject, form: str) -> None:
    log = WHOLE.copy()
    index = data.draw(st.integers(0, 259))
    entry = log.entries[index]
    place, by = data.draw(st.integers(0, len(entry.body) - 1)), data.draw(st.integers(1, 255))
    entry.body = flipped(entry.body, place, by)
    entry.leaf_hash = hashlib.sha256(b"\x00" + entry.body).digest()
    assert Kind.ROOT in verdict_kinds(log, form)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 259), st.integers(0, 31), st.integers(1, 255), FORMS)
def test_any_byte_of_a_stored_hash(index: int, place: int, by: int, form: str) -> None:
    log = WHOLE.copy()
    log.entries[index].leaf_hash = flipped(log.entries[index].leaf_hash, place, by)
    assert verdict_kinds(log, form) - consequences(index) == {Kind.LEAF}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 31), st.integers(1, 255), st.sampled_from(["tiles", "dump"]))
def test_any_byte_of_a_node(place: int, by: int, form: str) -> None:
    log = WHOLE.copy()
    log.nodes[8, 0] = flipped(log.nodes[8, 0], place, by)
    assert verdict_kinds(log, form) == {Kind.LEAF}


@settings(max_examples=40, deadline=None)
@given(st.data(), FORMS)
def test_any_character_of_a_head(data: st.DataObject, form: str) -> None:
    log = WHOLE.copy()
    note = log.head.note
    place = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(codec="utf-8", exclude_characters=note[place]))
    log.checkpoints[-1].note = note[:place] + other + note[place + 1 :]
    assert Kind.SIGNATURE in verdict_kinds(log, form)


@settings(max_examples=40, deadline=None)
@given(st.data(), FORMS)
def test_any_byte_of_a_salt_or_character_of_a_value(data: st.DataObject, form: str) -> None:
    log = WHOLE.copy()
    entry = log.entries[data.draw(st.sampled_from([n for n, one in enumerate(log.entries) if one.seed]))]
    if data.draw(st.booleans()):
        assert entry.seed is not None
        place, by = data.draw(st.integers(0, 31)), data.draw(st.integers(1, 255))
        entry.seed = flipped(entry.seed, place, by)
        salt = base64.b64decode(str(entry.openings["/details"]["salt"]))
        entry.openings["/details"]["salt"] = b64(flipped(salt, place, by))
    else:
        value = str(entry.openings["/details"]["value"])
        place = data.draw(st.integers(0, len(value) - 1))
        other = data.draw(st.characters(codec="utf-8", exclude_characters=value[place] + "\x00"))
        value = value[:place] + other + value[place + 1 :]
        entry.openings["/details"]["value"] = entry.row["details"] = value
    assert verdict_kinds(log, form) == {Kind.COMMITMENT}


FILES: dict[str, Callable[[MadeLog, Path], Path]] = {
    "export": write_export,
    "checkpoint": lambda log, folder: write_tiles(log, folder) / "checkpoint",
    "entries": lambda log, folder: write_tiles(log, folder) / "tile/entries/000",
    "hashes": lambda log, folder: write_tiles(log, folder) / "tile/0/001.p/4",
    "nodes": lambda log, folder: write_tiles(log, folder) / "tile/1/000.p/1",
    "openings": lambda log, folder: write_tiles(log, folder) / "openings.jsonl",
}


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_byte_of_a_file(name: str, data: st.DataObject) -> None:
    """A changed byte is a finding, or makes the file unreadable; it is never nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = FILES[name](WHOLE, Path(folder))
        content = file.read_bytes()
        place, by = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
        file.write_bytes(flipped(content, place, by))
        path = file if name == "export" else Path(folder) / "tiles"
        assert is_noticed(path, WHOLE.signer.vkey)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_digit_of_a_leaf_a_hash_or_a_node_in_a_dump(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_dump(WHOLE, Path(folder))
        lines = path.read_bytes().split(b"\n")
        hexed = [at for at, line in enumerate(lines) if b"\t\\\\x" in line and b"/" not in line and b"{" not in line]
        at = data.draw(st.sampled_from(hexed))
        line = lines[at]
        digits = [n for n in range(line.index(b"\\\\x") + 3, len(line)) if line[n : n + 1] in b"0123456789abcdef"]
        place = data.draw(st.sampled_from(digits))
        digit = data.draw(st.sampled_from([n for n in b"0123456789abcdef" if n != line[place]]))
        lines[at] = line[:place] + bytes([digit]) + line[place + 1 :]
        path.write_bytes(b"\n".join(lines))
        assert is_noticed(path, WHOLE.signer.vkey)
