"""Files that somebody made to mislead or to hurt: one line and exit code 2, or a verdict; never a traceback, never much memory."""

import gzip
import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.verifier.findings import Kind, Unreadable
from tests.support.audit_files import b64, compact, copied, export_lines, write_dump, write_export, write_tiles
from tests.support.audit_log import Signer, made_log
from tests.support.audit_verdicts import first_of_each, is_noticed, verdict_on

ROOT = Path(__file__).parents[4]
VKEY = Signer().vkey
WHOLE = made_log(300)
HEADER = export_lines(WHOLE)[0].encode()
LINE = export_lines(WHOLE)[1].encode()
DUMP_HEAD = b"COPY audit.log_leaves (sequence, body, leaf_hash) FROM stdin;\n"

FILES = {
    "empty": b"", "a line break": b"\n", "binary": bytes(range(256)) * 40, "zeros": bytes(100_000), "a picture": b"\x89PNG\r\n" + bytes(99),
    "text": b"hello\n", "a number": b"{}\n", "a list": b"[]\n", "a brace": b"{", "deep": b"{" + b'"a":[' * 50_000 + b"\n",
    "another format": b'{"format":"reeve-audit-log/2"}\n', "a first line alone, cut": HEADER[:200],
    "no members": b'{"format":"reeve-audit-log/1"}\n',
    "a size beyond all": HEADER.replace(b'"size":300', b'"size":99999999999999999999') + b"\n",
    "a first below zero": HEADER.replace(b'"first":0', b'"first":-1') + b"\n",
    "a first without left": HEADER.replace(b'"first":0', b'"first":7') + b"\n",
    "a note that is a number": compact({**json.loads(HEADER), "checkpoint": 5}).encode() + b"\n",
    "half a character in the note": HEADER.replace(b"reeve.local", b"reeve\\ud800local") + b"\n",
    "a line that is no entry": HEADER + b"\n[1]\n", "a line of text": HEADER + b"\nhello\n", "cut in a line": HEADER + b"\n" + LINE[:99],
    "an unknown member": HEADER + b"\n" + LINE.replace(b'"index"', b'"indeX"', 1) + b"\n",
    "an index that is true": HEADER + b"\n" + LINE.replace(b'"index":0', b'"index":true', 1) + b"\n",
    "openings that are a list": HEADER + b"\n" + compact({**json.loads(LINE), "openings": []}).encode() + b"\n",
    "an opening that is half": HEADER + b"\n" + compact({**json.loads(LINE), "openings": {"/details": {"salt": ""}}}).encode() + b"\n",
    "a line of 5 MiB": HEADER + b"\n" + b"x" * 5 * 1024 * 1024 + b"\n", "a first line of 5 MiB": b"{" + b" " * 5 * 1024 * 1024 + b"}\n",
    "packed and cut": gzip.compress(HEADER + b"\n" + LINE + b"\n")[:-9], "packed nothing": gzip.compress(b""),
    "packed and broken": gzip.compress(HEADER * 50)[:60] + b"\xff" * 30 + gzip.compress(HEADER)[90:],
    "a packed dump": gzip.compress(DUMP_HEAD + b"\\.\n"), "a dump in the custom format": b"PGDMP\x01\x0e\x00",
    "a dump without the log": b"COPY audit.entries (sequence) FROM stdin;\n\\.\n", "a dump cut in a table": DUMP_HEAD + b"0\t\\\\x00",
    "a row that is short": DUMP_HEAD + b"0\n\\.\n", "a row without a number": DUMP_HEAD + b"x\t\\\\x00\t\\\\x00\n\\.\n",
    "a row below zero": DUMP_HEAD + b"-1\t\\\\x00\t\\\\x00\n\\.\n", "a row beyond all": DUMP_HEAD + b"9" * 18 + b"\t\\\\x00\t\\\\x00\n\\.\n",
    "a row far out": DUMP_HEAD + b"9" * 30 + b"\t\\\\x00\t\\\\x00\n\\.\n", "bytes that are none": DUMP_HEAD + b"0\t\\\\x0g\t\\\\x00\n\\.\n",
    "other columns": b"COPY audit.log_leaves (a, b) FROM stdin;\n0\t1\n\\.\n",
}  # fmt: skip


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_file_that_is_no_log_is_unreadable_and_said_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_bytes(content)
    with pytest.raises(Unreadable) as error:
        verdict_on(path, VKEY)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", ["empty", "binary", "deep", "a line of 5 MiB", "packed and cut", "a row far out"])
def test_the_command_says_it_in_one_line_and_ends_with_2(name: str, tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_bytes(FILES[name])
    done = subprocess.run(
        [sys.executable, "-m", "services.audit.verifier", str(path), "--key", VKEY],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", HEADER + b"\n", HEADER + b"\n" + LINE + b"\n", DUMP_HEAD]))
def test_any_bytes_are_a_log_or_unreadable(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, before: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "given"
    path.write_bytes(before + content)
    assert is_noticed(path, VKEY)


def signed(size: int) -> str:
    return Signer().checkpoint(size, bytes(32))


def test_a_head_that_promises_more_than_there_is_does_not_keep_us_busy(tmp_path: Path) -> None:
    path = write_tiles(WHOLE, tmp_path)
    (path / "checkpoint").write_text(signed(2**62), encoding="utf-8")
    assert Kind.MISSING in first_of_each(verdict_on(path, VKEY))


def test_a_tile_far_out_does_not_keep_us_busy(tmp_path: Path) -> None:
    path = write_tiles(WHOLE, tmp_path)
    (path / "checkpoint").write_text(signed(2**62), encoding="utf-8")
    far = path / "tile" / "entries" / "x900" / "x000" / "x000" / "000"
    far.parent.mkdir(parents=True)
    far.write_bytes(b"")
    assert Kind.MISSING in first_of_each(verdict_on(path, VKEY))


def test_a_row_far_out_in_a_dump_does_not_keep_us_busy(tmp_path: Path) -> None:
    row = copied("log_leaves_9", ("sequence", "body", "leaf_hash"), [(2**35, b"{}", bytes(32))])
    verdict = verdict_on(write_dump(WHOLE, tmp_path, log_leaves_9=row), VKEY)
    assert first_of_each(verdict)[Kind.MISSING] == 300


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 9000, b"1" * 9000, b'{"v":1}', b"x" * 16_385], ids=range(9)
)
def test_a_leaf_that_is_none_is_a_finding_even_when_it_was_signed(body: bytes, tmp_path: Path) -> None:
    assert first_of_each(verdict_on(_signed_with(4, body, tmp_path), VKEY))[Kind.LEAF] == 4


@pytest.mark.parametrize(
    ("place", "said", "instead"),
    [
        (4, b'"v":1', b'"v":2'), (4, b'"index":4', b'"index":6'), (4, b'"commits":{', b'"commits":{"":"",'),
        (4, b'"commits":{', b'"commits":[],"commit":{'), (4, b".400250Z", b"Z"), (4, b'"producer_seq":2', b'"producer_seq":-2'),
        (4, b'"producer_seq":2', b'"producer_seq":"2"'), (4, b'"public":null', b'"public":0'),
        (0, b'"producers":{', b'"producers":{"":[],'), (0, b'"at":"2026', b'"at":"never'),
        (50, b'"entries":[7', b'"entries":[[2,1]'), (50, b'"paths":[', b'"paths":[5,'), (50, b'"entries":[7', b'"entries":[-7'),
    ],
)  # fmt: skip
def test_a_leaf_of_another_form_is_a_finding_even_when_it_was_signed(
    place: int, said: bytes, instead: bytes, tmp_path: Path
) -> None:
    body = WHOLE.entries[place].body
    assert said in body
    path = _signed_with(place, body.replace(said, instead, 1), tmp_path)
    assert first_of_each(verdict_on(path, VKEY))[Kind.LEAF] == place


def _signed_with(place: int, body: bytes, folder: Path) -> Path:
    """An export of a log that was signed with such a leaf in it."""
    log = made_log(300)
    log.entries[place].body = body
    log.entries[place].leaf_hash = hashlib.sha256(b"\x00" + body).digest()
    log.rebuild()
    log.sign([300])
    return write_export(log, folder)


def test_a_member_with_a_text_that_no_terminal_takes_is_told_harmlessly(tmp_path: Path) -> None:
    line = json.loads(LINE)
    line["openings"] = {"\x1b[31m\ud800/x": {"salt": b64(bytes(32)), "value": "v"}}
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join([HEADER.decode(), json.dumps(line)]) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "services.audit.verifier", str(path), "--key", VKEY],
        cwd=ROOT, capture_output=True, timeout=60, check=False, env={"LANG": "C", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"\x1b" not in done.stdout


def test_a_packed_file_that_unpacks_to_gigabytes_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", 9) as file:
        file.write(HEADER + b"\n")
        for _ in range(200):
            file.write(bytes(1024 * 1024))

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (512 * 1024 * 1024, 512 * 1024 * 1024))

    done = subprocess.run(
        [sys.executable, "-m", "services.audit.verifier", str(path), "--key", VKEY],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, preexec_fn=bounded,
    )  # fmt: skip
    assert done.returncode == 2
    assert "a line is longer than" in done.stderr
