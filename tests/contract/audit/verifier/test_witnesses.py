"""Witnesses before the offline verifier: the newest head must bear enough cosignatures, and what they cosigned must still hold."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.audit.verifier.cli import main
from services.audit.verifier.cosignatures import COSIGNER
from services.audit.verifier.findings import Kind
from services.audit.verifier.notes import parse_key
from services.audit.verifier.witnesses import Policy
from tests.support.audit_entries import START, STEP
from tests.support.audit_files import WRITERS, copied, write_dump, write_export
from tests.support.audit_log import Cosigner, MadeLog, Signer, made_log, root_of
from tests.support.audit_verdicts import first_of_each, verdict_on

SIZE = 300
ONE, TWO, THREE = (Cosigner(f"w.test/{number}") for number in (1, 2, 3))
FORMS = pytest.mark.parametrize("form", WRITERS)


@pytest.fixture(scope="module")
def whole() -> MadeLog:
    """A log that nobody touched, with older heads, of whose entries each came 0.6 s after the one before."""
    return made_log(SIZE, checkpoints=(40, 250, 299))


@pytest.fixture
def log(whole: MadeLog) -> MadeLog:
    """The same, to be cosigned."""
    return whole.copy()


def at(size: int, *, later: int = 0) -> int:
    """When the last entry under a head of this size came, or so many seconds later."""
    return int((START + STEP * size).timestamp()) + later


def cosign(log: MadeLog, *by: Cosigner, size: int = SIZE, later: int = 0) -> str:
    """Put cosignatures behind the log's signature of its head of that size; the note."""
    [made] = [one for one in log.checkpoints if one.size == size]
    made.note += "".join(one.line(made.note, at(size, later=later)) for one in by)
    return made.note


def policy(*by: Cosigner, quorum: int | None = None, lag: float = 0) -> Policy:
    return Policy([parse_key(one.vkey, kind=COSIGNER) for one in by], quorum or len(by), lag)


@FORMS
@pytest.mark.parametrize(("by", "quorum"), [([ONE], 1), ([ONE, TWO, THREE], 2), ([ONE, TWO], 2), ([THREE, TWO], 1)])
def test_a_head_that_a_quorum_cosigned_holds(
    log: MadeLog, form: str, by: Sequence[Cosigner], quorum: int, tmp_path: Path
) -> None:
    cosign(log, ONE, TWO)
    verdict = verdict_on(WRITERS[form](log, tmp_path), log.signer.vkey, witnesses=policy(*by, quorum=quorum))
    assert first_of_each(verdict) == {}
    assert verdict.witnessed is not None
    assert (verdict.witnessed.size, verdict.witnessed.quorum) == (SIZE, quorum)
    assert verdict.witnessed.by == [one.name for one in (ONE, TWO) if one in by]


@FORMS
def test_a_head_that_too_few_cosigned_is_10_and_names_who_is_missing(log: MadeLog, form: str, tmp_path: Path) -> None:
    cosign(log, TWO)
    path = WRITERS[form](log, tmp_path)
    verdict = verdict_on(path, log.signer.vkey, witnesses=policy(ONE, TWO, THREE, quorum=2))
    assert first_of_each(verdict) == {10: SIZE}
    [said] = verdict.findings.by_kind[Kind.SIGNATURE].examples
    assert said.rpartition("missing: ")[2] == f"{ONE.short}, {THREE.short}"
    assert first_of_each(verdict_on(path, log.signer.vkey)) == {}


def test_lines_of_strangers_and_of_other_types_count_for_nobody(log: MadeLog, tmp_path: Path) -> None:
    stranger = Signer(name=ONE.name)  # the witness's name under an ordinary signature
    log.head.note += stranger.signature(log.head.note.rpartition("\n\n")[0] + "\n")
    cosign(log, THREE)
    path = write_export(log, tmp_path)
    assert first_of_each(verdict_on(path, log.signer.vkey, witnesses=policy(ONE))) == {10: SIZE}
    assert first_of_each(verdict_on(path, log.signer.vkey)) == {}


@FORMS
def test_a_cosignature_that_does_not_verify_is_10(log: MadeLog, form: str, tmp_path: Path) -> None:
    log.head.note += ONE.line(Signer().checkpoint(SIZE, bytes(32)), at(SIZE))
    cosign(log, TWO)
    verdict = verdict_on(WRITERS[form](log, tmp_path), log.signer.vkey, witnesses=policy(ONE, TWO, quorum=1))
    assert first_of_each(verdict) == {10: SIZE}
    assert "the cosignature of w.test/1+" in verdict.findings.by_kind[Kind.SIGNATURE].examples[0]


def test_a_kept_note_of_the_same_head_brings_what_the_material_lacks(log: MadeLog, tmp_path: Path) -> None:
    path = write_export(log, tmp_path)
    cosign(log, ONE)
    first, second = log.head.note, log.head.note
    second = f"{second.rpartition(chr(10) * 2)[0]}\n\n{log.signer.signature(_body(second))}{TWO.line(second, at(SIZE))}"
    verdict = verdict_on(path, log.signer.vkey, older=[first, second], witnesses=policy(ONE, TWO))
    assert first_of_each(verdict) == {}
    assert first_of_each(verdict_on(path, log.signer.vkey, older=[first], witnesses=policy(ONE, TWO))) == {10: SIZE}


def _body(note: str) -> str:
    return note.rpartition("\n\n")[0] + "\n"


@pytest.mark.parametrize("case", [(30, 0, {}), (29, 0, {10: SIZE}), (29, 1, {}), (0, 0, {10: SIZE})])
@FORMS
def test_the_last_entries_may_be_so_much_younger_than_the_newest_cosigned_head(
    log: MadeLog, form: str, case: tuple[float, int, dict[int, int]], tmp_path: Path
) -> None:
    """The last entry came 29.4 s after the last one under the head of size 250, of which the witness counts whole seconds."""
    lag, later, found = case
    note = cosign(log, ONE, size=250, later=later)
    older = [] if form == "dump" else [note]
    path = WRITERS[form](log, tmp_path)
    verdict = verdict_on(path, log.signer.vkey, older=older, witnesses=policy(ONE, lag=lag))
    assert first_of_each(verdict) == found
    assert any(
        "quorum of witnesses cosigned the head of size 250, not yet 300" in one for one in verdict.findings.unchecked
    ) == (not found)


def test_the_quorum_s_clock_is_that_of_its_slowest(log: MadeLog, tmp_path: Path) -> None:
    """One witness whose clock runs ahead stretches nothing when two are asked for."""
    note = cosign(log, ONE, size=250, later=3000)
    [made] = [one for one in log.checkpoints if one.size == 250]
    made.note += TWO.line(note, at(250) - 300)
    path = write_dump(log, tmp_path)
    assert first_of_each(verdict_on(path, log.signer.vkey, witnesses=policy(ONE, TWO, lag=60))) == {10: SIZE}
    assert first_of_each(verdict_on(path, log.signer.vkey, witnesses=policy(ONE, TWO, quorum=1, lag=60))) == {}


def test_a_dump_s_own_table_of_cosignatures_is_read(log: MadeLog, tmp_path: Path) -> None:
    notes = {one.size: one.note for one in log.checkpoints}
    rows = [
        (size, by.name, b"\x00\x01\x02\x03", "2026-03-01 12:00:00+00", by.line(notes[size], at(size)))
        for size, by in ((250, ONE), (300, TWO), (299, ONE), (300, ONE))
    ]
    columns = ("size", "witness", "key_id", "cosigned_at", "line")
    path = write_dump(log, tmp_path, log_cosignatures=copied("log_cosignatures", columns, rows))
    for by, size in ((ONE, 300), (TWO, 300)):
        verdict = verdict_on(path, log.signer.vkey, witnesses=policy(by))
        assert first_of_each(verdict) == {}
        assert verdict.witnessed is not None
        assert verdict.witnessed.size == size
    assert first_of_each(verdict_on(path, log.signer.vkey, witnesses=policy(ONE, TWO))) == {}
    assert first_of_each(verdict_on(path, log.signer.vkey, witnesses=policy(THREE, ONE))) == {10: SIZE}
    spoilt = write_dump(
        log, tmp_path, log_cosignatures=copied("log_cosignatures", columns, [(*rows[1][:4], "garbage")])
    )
    assert first_of_each(verdict_on(spoilt, log.signer.vkey)) == {10: SIZE}


@dataclass(frozen=True)
class Tampered:
    """A log that was made anew with its own stolen key, and what a witness cosigned of the one before."""

    log: MadeLog
    notes: list[str]


@pytest.fixture
def tampered(log: MadeLog) -> Tampered:
    """Entry 100 became another, and every head was signed again; heads of 40 and 250 had been cosigned."""
    notes = [cosign(log, ONE, size=size) for size in (40, 250)]
    log.entries[100].leaf["outcome"] = "failure"
    log.entries[100].row["outcome"] = "failure"
    log.entries[100].seal()
    log.rebuild()
    log.sign([40, 250, 299, SIZE])
    return Tampered(log, notes)


@FORMS
def test_a_log_that_was_rewritten_and_signed_again_is_named(tampered: Tampered, form: str, tmp_path: Path) -> None:
    """No witness cosigned it, and what one cosigned is no beginning of it."""
    log = tampered.log
    path = WRITERS[form](log, tmp_path)
    assert first_of_each(verdict_on(path, log.signer.vkey)) == {}
    assert first_of_each(verdict_on(path, log.signer.vkey, witnesses=policy(ONE, lag=120))) == {10: SIZE}
    kept = verdict_on(path, log.signer.vkey, older=tampered.notes, witnesses=policy(ONE, lag=120))
    assert first_of_each(kept) == {14: 250}
    said = [one for one in kept.findings.by_kind[Kind.CONSISTENCY].examples if "kept 1" in one]
    assert said
    assert all("kept 1 (cosigned by w.test/1)" in one for one in said)


@FORMS
def test_what_a_witness_cosigned_counts_though_the_log_s_own_signature_is_gone(
    tampered: Tampered, form: str, tmp_path: Path
) -> None:
    """As where the log's key was exchanged together with the log: the witness saw what it cosigned."""
    log = tampered.log
    log.signer = Signer("the intruder's")
    log.sign([SIZE])
    path = WRITERS[form](log, tmp_path)
    found = first_of_each(verdict_on(path, log.signer.vkey, older=tampered.notes, witnesses=policy(ONE)))
    assert found == {10: 40, 14: 250}


def test_a_log_that_was_cut_back_behind_a_cosigned_head_is_14(log: MadeLog, tmp_path: Path) -> None:
    note = log.signer.checkpoint(400, bytes(32))
    verdict = verdict_on(
        write_export(log, tmp_path), log.signer.vkey, older=[note + ONE.line(note, at(400))], witnesses=policy(ONE)
    )
    assert first_of_each(verdict) == {14: 400}


def test_a_cosigned_head_of_another_log_is_nothing_of_this_one(log: MadeLog, tmp_path: Path) -> None:
    note = Signer(name="other.test/log").checkpoint(SIZE, root_of(log.hashes(SIZE)))
    kept = [note + ONE.line(note, at(SIZE))]
    verdict = verdict_on(write_export(log, tmp_path), log.signer.vkey, older=kept, witnesses=policy(ONE))
    assert verdict.findings.by_kind[Kind.SIGNATURE].count == 2
    assert verdict.checkpoints == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--witness", "nonsense"], "--witness: a verifier key looks like"),
        (["--witness", "LOGKEY"], "not an Ed25519 key of the type that is asked for (0x04"),
        (["--quorum", "1"], "--quorum must be 1 to the number of witnesses, 0, got 1"),
        (["--witness", "W1", "--quorum", "2"], "--quorum must be 1 to the number of witnesses, 1, got 2"),
        (["--witness", "W1", "--quorum", "0"], "got 0"),
        (["--witness", "W1", "--witness", "W1"], "given twice"),
        (["--witness", "/nowhere"], "--witness:"),
    ],
)
def test_wrong_usage_is_2_and_one_line(
    whole: MadeLog, arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"W1": ONE.vkey, "LOGKEY": whole.signer.vkey}
    given = [names.get(one, one) for one in arguments]
    assert main([str(write_export(whole, tmp_path)), "--key", whole.signer.vkey, *given]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_the_command_takes_witnesses_and_says_who_cosigned(
    log: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cosign(log, ONE, TWO)
    (tmp_path / "w2").write_text(f"{TWO.vkey}\n")
    arguments = [str(write_export(log, tmp_path)), "--key", log.signer.vkey, "--processes", "1", "--quiet"]
    witnesses = ["--witness", ONE.vkey, "--witness", str(tmp_path / "w2"), "--unwitnessed", "0"]
    assert main([*arguments, *witnesses]) == 0
    assert "witnessed          size 300, by w.test/1, w.test/2; 2 asked for" in capsys.readouterr().out
    assert main([*arguments, *witnesses, "--witness", THREE.vkey, "--json"]) == 10
    said = json.loads(capsys.readouterr().out)
    assert said["witnessed"] is None
    assert said["findings"][0]["examples"][0].endswith(f"missing: {THREE.short}")
    assert main([*arguments, *witnesses, "--witness", THREE.vkey, "--quorum", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["witnessed"] == {
        "size": 300,
        "by": ["w.test/1", "w.test/2"],
        "quorum": 2,
    }
