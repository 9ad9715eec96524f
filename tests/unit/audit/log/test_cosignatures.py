"""Cosignatures: the examples of C2SP and of other programs, a vector made with the primitives alone, and what must not pass for one."""

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.audit.log.cosignatures import MOST_TIME, WitnessKey, cosign, find_cosignature, message
from services.audit.log.notes import NoteRefused, SigningKey, VerifierKey, open_note, parted

C2SP_TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
C2SP_LINES = [
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=",
    "— witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==",
]
C2SP_TIME = 1679315147
REMORA = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
"""The key of a public witness, as Go's library for such notes has it in its tests."""
LOG = SigningKey("example.com/behind-the-sofa", Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
KEY = WitnessKey("witness.example/w1", PRIVATE.public_key().public_bytes_raw())
TIME = 1_700_000_000
COSIGNED = cosign(KEY.name, PRIVATE, C2SP_TEXT, time=TIME)


def test_a_published_key_of_a_witness_is_read_and_written() -> None:
    assert WitnessKey.parse(f"{REMORA}\n").text == REMORA


def test_the_message_is_the_one_of_the_document() -> None:
    assert message(C2SP_TEXT, time=C2SP_TIME) == (
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )
    signed = base64.b64decode(C2SP_LINES[1].rpartition(" ")[2])
    assert (len(signed), int.from_bytes(signed[4:12])) == (4 + 8 + 64, C2SP_TIME)


def test_a_cosignature_is_what_the_primitives_make() -> None:
    """As the document says it, by nothing but a hash and a signature."""
    public = PRIVATE.public_key().public_bytes_raw()
    key_id = sha256(b"witness.example/w1\n\x04" + public).digest()[:4]
    signature = PRIVATE.sign(b"cosignature/v1\ntime 1700000000\n" + C2SP_TEXT.encode())
    encoded = base64.b64encode(key_id + TIME.to_bytes(8, "big") + signature).decode()
    assert COSIGNED.line == f"— witness.example/w1 {encoded}\n"
    typed = base64.b64encode(b"\x04" + public).decode()
    assert KEY.text == f"witness.example/w1+{key_id.hex()}+{typed}"


def lines(*more: str) -> list[str]:
    return [*C2SP_LINES, *more, COSIGNED.line.rstrip("\n")]


def test_the_line_of_the_key_is_found_among_those_of_others() -> None:
    post_quantum = f"— {KEY.name} " + base64.b64encode(b"\x06\x07\x08\x09" + bytes(2428)).decode()
    other_name = f"— witness.example/w2 {base64.b64encode(KEY.key_id + bytes(72)).decode()}"
    short = "— somebody.else AAAA"
    assert find_cosignature(C2SP_TEXT, lines(post_quantum, other_name, short), KEY) == COSIGNED
    assert find_cosignature(C2SP_TEXT, [*C2SP_LINES, post_quantum, other_name, short], KEY) is None


def test_of_several_the_newest_counts() -> None:
    later = cosign(KEY.name, PRIVATE, C2SP_TEXT, time=TIME + 9)
    assert find_cosignature(C2SP_TEXT, lines(later.line.rstrip("\n")), KEY) == later


@given(st.integers(0, 71), st.integers(0, 7))
def test_one_bit_changed_in_time_or_signature_is_refused(place: int, bit: int) -> None:
    signed = bytearray(base64.b64decode(COSIGNED.line.rstrip("\n").rpartition(" ")[2]))
    signed[4 + place] ^= 1 << bit
    with pytest.raises(NoteRefused, match="is not right"):
        find_cosignature(C2SP_TEXT, [f"— {KEY.name} {base64.b64encode(signed).decode()}"], KEY)


@pytest.mark.parametrize("text", [C2SP_TEXT.replace("163", "164"), C2SP_TEXT + "extension\n", "other" + C2SP_TEXT])
def test_a_cosignature_of_another_text_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused, match="is not right"):
        find_cosignature(text, lines(), KEY)


@pytest.mark.parametrize("line", ["", "garbage", "- a AAAAAAAA", "— a b c", "— a+b AAAA", "— a *", "— a AAA"])
def test_what_is_no_line_of_signature_is_refused(line: str) -> None:
    with pytest.raises(NoteRefused):
        find_cosignature(C2SP_TEXT, lines(line), KEY)


@pytest.mark.parametrize("time", [0, -1, MOST_TIME + 1])
def test_a_time_that_cannot_be_is_neither_made_nor_taken(time: int) -> None:
    with pytest.raises(ValueError, match="time of a cosignature"):
        cosign(KEY.name, PRIVATE, C2SP_TEXT, time=time)
    if time >= 0:
        signed = KEY.key_id + time.to_bytes(8, "big") + PRIVATE.sign(message(C2SP_TEXT, time=time))
        with pytest.raises(NoteRefused, match="names no time"):
            find_cosignature(C2SP_TEXT, [f"— {KEY.name} {base64.b64encode(signed).decode()}"], KEY)


def test_a_log_s_key_and_a_witness_s_are_never_taken_for_each_other() -> None:
    with pytest.raises(NoteRefused, match="0x04"):
        WitnessKey.parse(LOG.verifier.text)
    with pytest.raises(NoteRefused, match="0x01"):
        VerifierKey.parse(KEY.text)
    same = SigningKey(KEY.name, PRIVATE)
    assert find_cosignature(C2SP_TEXT, parted(same.sign(C2SP_TEXT))[1], KEY) is None


def test_a_note_with_sixteen_signatures_of_the_longest_kind_opens() -> None:
    longest = base64.b64encode(bytes(4 + 8 + 2420)).decode()
    note = LOG.sign(C2SP_TEXT) + "".join(f"— w{number}.example {longest}\n" for number in range(15)) + COSIGNED.line
    assert open_note(note, LOG.verifier) == C2SP_TEXT
    assert find_cosignature(*parted(note), KEY) == COSIGNED


@pytest.mark.parametrize(
    "text", ["", "name", REMORA.replace("da77", "da78"), REMORA[:-4], REMORA.replace("+BO", "+AO"), "a b" + REMORA[14:]]
)
def test_a_text_that_is_no_key_of_a_witness_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused):
        WitnessKey.parse(text)
