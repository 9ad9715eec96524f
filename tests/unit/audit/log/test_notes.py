"""Signed notes and checkpoints: the samples of C2SP and of Go, and what must not pass for one."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.audit.log.checkpoints import Checkpoint, open_checkpoint, signed_checkpoint
from services.audit.log.notes import NoteRefused, SigningKey, VerifierKey, open_note
from services.audit.log.tree import EMPTY_ROOT

C2SP_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP_SIGNATURE = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
C2SP_TEXT = "This is an example message.\n"
C2SP_NOTE = f"{C2SP_TEXT}\n— example.com/foo {C2SP_SIGNATURE}\n"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    f"{GO_TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
KEY = SigningKey("reeve.local/audit", Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))


@pytest.mark.parametrize(("key", "note", "text"), [(C2SP_KEY, C2SP_NOTE, C2SP_TEXT), (GO_KEY, GO_NOTE, GO_TEXT)])
def test_a_published_note_opens_with_its_key(key: str, note: str, text: str) -> None:
    assert VerifierKey.parse(key).text == key
    assert open_note(note, VerifierKey.parse(key)) == text


@given(st.integers(0, 2**62), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_comes_back_as_it_was_signed(size: int, root: bytes) -> None:
    note = signed_checkpoint(KEY, size=size, root=root)
    assert open_checkpoint(note, KEY.verifier) == Checkpoint(KEY.name, size, root)
    assert note == signed_checkpoint(KEY, size=size, root=root)


def test_a_checkpoint_is_three_lines_and_a_signature() -> None:
    note = signed_checkpoint(KEY, size=0, root=EMPTY_ROOT)
    lines = note.split("\n")
    assert lines[:4] == ["reeve.local/audit", "0", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", ""]
    assert lines[4].startswith("— reeve.local/audit ")
    assert len(base64.b64decode(lines[4].rpartition(" ")[2])) == 4 + 64
    assert lines[5:] == [""]


def test_a_signature_by_somebody_unknown_is_ignored() -> None:
    other = SigningKey("witness.example", Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
    note = KEY.sign("a\n1\n") + other.sign("something else\n").rpartition("\n\n")[2]
    assert open_note(note, KEY.verifier) == "a\n1\n"


def test_a_signature_by_another_key_of_the_same_name_is_ignored_too() -> None:
    """As after a change of keys, or of algorithms: the id tells them apart."""
    other = SigningKey(KEY.name, Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
    both = other.sign("a\n1\n") + KEY.sign("a\n1\n").rpartition("\n\n")[2]
    assert open_note(both, KEY.verifier) == open_note(both, other.verifier) == "a\n1\n"


SIGNED = KEY.sign("first\nsecond\n")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "first\nsecond\n",
        SIGNED.replace("second", "third"),
        SIGNED.replace("—", "-"),
        SIGNED.removesuffix("\n"),
        SIGNED + "\n",
        SIGNED.replace("reeve.local/audit", "reeve.local/other"),
        SIGNED.replace("first", "fi\rst"),
        "first\nsecond\n\n" + SIGNED.rpartition("\n\n")[2] * 101,
        "\n\n" + SIGNED.rpartition("\n\n")[2],
        SigningKey(KEY.name, Ed25519PrivateKey.from_private_bytes(b"\x03" * 32)).sign("first\nsecond\n"),
        SIGNED[:-10] + "AAAAAAAA=\n",
        "x" * 140_000 + SIGNED,
    ],
)
def test_what_is_not_a_note_of_this_key_is_refused(note: str) -> None:
    with pytest.raises(NoteRefused):
        open_note(note, KEY.verifier)


@given(st.integers(0, 63), st.integers(0, 7))
def test_a_signature_with_one_bit_changed_is_refused(place: int, bit: int) -> None:
    text, _, line = SIGNED.rpartition("\n\n")
    signature = bytearray(base64.b64decode(line.rpartition(" ")[2]))
    signature[4 + place] ^= 1 << bit
    with pytest.raises(NoteRefused):
        open_note(f"{text}\n\n— {KEY.name} {base64.b64encode(signature).decode()}\n", KEY.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "reeve.local/audit\n-1\n" + base64.b64encode(EMPTY_ROOT).decode() + "\n",
        "reeve.local/audit\n01\n" + base64.b64encode(EMPTY_ROOT).decode() + "\n",
        "reeve.local/audit\n1\nshort\n",
        "reeve.local/audit\n1\nAAAA\n",
        "reeve.local/audit\n1\n",
        "another.log/audit\n1\n" + base64.b64encode(EMPTY_ROOT).decode() + "\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_of_this_log_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused):
        open_checkpoint(KEY.sign(text), KEY.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        C2SP_KEY.replace("530d", "530e"),
        C2SP_KEY.replace("+Aeky", "+Beky"),
        C2SP_KEY[:-4],
        "a b" + C2SP_KEY[15:],
    ],
)
def test_a_text_that_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused):
        VerifierKey.parse(text)


@pytest.mark.parametrize("text", ["no end", "two\n\nparts\n"])
def test_only_lines_without_an_empty_one_are_signed(text: str) -> None:
    with pytest.raises(ValueError, match="line feed"):
        KEY.sign(text)
