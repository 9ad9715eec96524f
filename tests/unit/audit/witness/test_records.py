"""What a witness remembers: what is on its disk is its own, and one process at a time has it."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.errors import ConfigError
from services.audit.log.checkpoints import signed_checkpoint
from services.audit.log.cosignatures import WitnessKey
from services.audit.log.notes import SigningKey
from services.audit.witness.judging import Behind, Refused
from services.audit.witness.records import MOST_REFUSED_BYTES, Records, name_of
from services.audit.witness.requests import Asked
from services.audit.witness.witness import Witness
from tests.unit.audit.witness.test_judging import FORK, KEY, asked

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x03" * 32)
MINE = WitnessKey("witness.example/w1", PRIVATE.public_key().public_bytes_raw())
NOW = 1_700_000_000


def witness(folder: Path) -> Witness:
    """A witness that begins with what is in the folder."""
    found = Witness(MINE, PRIVATE, [KEY.verifier], Records(folder, MINE))
    found.look_back()
    return found


def head_file(folder: Path) -> Path:
    return folder / "heads" / name_of(KEY.name)


def test_a_new_life_stands_where_the_last_one_stood(tmp_path: Path) -> None:
    assert isinstance(witness(tmp_path).add(asked(0, 10), now=NOW), str)
    assert witness(tmp_path).add(asked(0, 20), now=NOW) == Behind(10)
    assert isinstance(witness(tmp_path).add(asked(10, 20), now=NOW), str)
    assert witness(tmp_path).newest(name_of(KEY.name)) == head_file(tmp_path).read_text()


def test_a_clock_that_was_set_back_turns_no_time_back(tmp_path: Path) -> None:
    witness(tmp_path).add(asked(0, 10), now=NOW)
    later = witness(tmp_path)
    later.add(asked(10, 20), now=NOW - 1000)
    record = Records(tmp_path, MINE).read(KEY.verifier)
    assert record is not None
    assert (record.time, record.checkpoint.size) == (NOW, 20)


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace("\n10\n", "\n9\n"),
        lambda note: "".join(note.splitlines(keepends=True)[:-1]),
        lambda note: "",
        lambda note: note + "\n",
        lambda note: note.replace("log.example/audit", "log.example/other"),
        lambda note: signed_checkpoint(KEY, size=5, root=bytes(32)) + note.splitlines(keepends=True)[-1],
    ],
)
def test_a_file_that_somebody_wrote_over_is_refused(tmp_path: Path, change: object) -> None:
    witness(tmp_path).add(asked(0, 10), now=NOW)
    path = head_file(tmp_path)
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(ConfigError, match="not what this witness cosigned last"):
        witness(tmp_path)


def test_what_cannot_be_remembered_is_not_cosigned(tmp_path: Path) -> None:
    one = witness(tmp_path)
    one.add(asked(0, 10), now=NOW)
    beside = head_file(tmp_path).with_name(f".{name_of(KEY.name)}.new")
    beside.mkdir()
    with pytest.raises(OSError, match="directory"):
        one.add(asked(10, 20), now=NOW)
    beside.rmdir()
    assert one.add(asked(0, 20), now=NOW) == Behind(10)


def test_the_folder_is_its_owner_s_and_one_witness_s(tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    first, second = Records(folder, MINE), Records(folder, MINE)
    first.lock()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(ConfigError, match="another witness"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        Records(tmp_path / "file" / "below", MINE).lock()


def test_a_head_that_the_log_signed_and_that_was_refused_is_kept_once_as_evidence(tmp_path: Path) -> None:
    one = witness(tmp_path)
    one.add(asked(0, 10), now=NOW)
    path = head_file(tmp_path).with_name(f"{name_of(KEY.name)}.refused")
    for _ in range(3):
        refused = one.add(asked(10, 20, tree=FORK), now=NOW)
        assert isinstance(refused, Refused)
    assert path.read_text() == asked(10, 20, tree=FORK).note
    one.add(asked(10, 10, tree=FORK), now=NOW)
    assert path.read_text() == f"{asked(10, 20, tree=FORK).note}\n{asked(10, 10, tree=FORK).note}"
    # What nobody signed is no evidence against anybody.
    stranger = SigningKey(KEY.name, Ed25519PrivateKey.generate())
    one.add(asked(10, 20, tree=FORK, key=stranger), now=NOW)
    assert path.read_text().count("\n\n") == 3


def test_evidence_has_a_bound(tmp_path: Path) -> None:
    records = Records(tmp_path, MINE)
    for number in range(40):
        records.keep_refused(KEY.name, f"{number}" + "x" * 10_000)
    size = head_file(tmp_path).with_name(f"{name_of(KEY.name)}.refused").stat().st_size
    assert 200_000 < size <= MOST_REFUSED_BYTES


def test_a_log_that_it_was_not_told_of_is_unknown(tmp_path: Path) -> None:
    stranger = SigningKey("log.example/other", Ed25519PrivateKey.generate())
    note = signed_checkpoint(stranger, size=1, root=bytes(32))
    refused = witness(tmp_path).add(Asked(0, [], note), now=NOW)
    assert isinstance(refused, Refused)
    assert refused.status == 404


def test_only_the_log_s_own_line_is_kept_of_a_note(tmp_path: Path) -> None:
    one = witness(tmp_path)
    made = asked(0, 10)
    line = one.add(Asked(0, [], made.note + "— somebody.else AAAAAAAAAAA=\n"), now=NOW)
    assert one.newest(name_of(KEY.name)) == f"{made.note}{line}"
