"""Signed notes: the published sample opens, other keys are ignored, and nothing that is not ours is taken for ours."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.notes import (
    Checkpoint,
    NotANote,
    NotSigned,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_key,
    strict_base64,
)
from tests.support.audit_log import Signer

SAMPLES = {
    "C2SP signed-note": (
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "This is an example message.\n",
        "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n",
    ),
    "Go's sumdb/note": (
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
        "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
    ),
}
SAMPLE_KEY = SAMPLES["Go's sumdb/note"][0]
ROOT = bytes(range(32))
SIGNER = Signer()
KEY = parse_key(SIGNER.vkey)


@pytest.mark.parametrize(("key", "text", "signature"), SAMPLES.values(), ids=SAMPLES)
def test_the_published_sample_opens(key: str, text: str, signature: str) -> None:
    assert open_note(f"{text}\n{signature}", parse_key(key)) == text


def test_a_checkpoint_of_our_log_opens() -> None:
    assert open_checkpoint(SIGNER.checkpoint(70_000, ROOT), KEY) == Checkpoint("reeve.local/audit", 70_000, ROOT)


def test_signatures_of_others_are_ignored_whatever_their_type() -> None:
    note = SIGNER.checkpoint(5, ROOT)
    cosigned = base64.b64encode(b"\x04\x00\x00\x09" + bytes(72)).decode()
    body, _, ours = note.partition("\n\n")
    many = "".join(f"\u2014 witness-{n}.example/w {cosigned}\n" for n in range(20))
    assert open_checkpoint(f"{body}\n\n{many}{ours}{many}", KEY).size == 5


@pytest.mark.parametrize(
    ("signer", "said"),
    [
        pytest.param(Signer("a stranger's"), "no signature of", id="another key of the same name"),
        pytest.param(Signer(name="other.example/audit"), "no signature of", id="the same key under another name"),
    ],
)
def test_a_note_of_another_key_is_not_ours(signer: Signer, said: str) -> None:
    with pytest.raises(NotSigned, match=said):
        open_checkpoint(signer.checkpoint(5, ROOT), KEY)


def test_a_head_of_another_log_is_not_ours_even_under_our_key() -> None:
    with pytest.raises(NotSigned, match="origin"):
        open_checkpoint(SIGNER.checkpoint(5, ROOT, origin="reeve.local/other"), KEY)


def test_a_signature_of_our_key_over_other_text_spoils_the_note() -> None:
    body, _, signature = SIGNER.checkpoint(5, ROOT).partition("\n\n")
    with pytest.raises(NotSigned, match="does not verify"):
        open_note(f"{body.replace('5', '6')}\n\n{signature}", KEY)


@given(st.data())
def test_a_note_with_any_character_changed_does_not_open(data: st.DataObject) -> None:
    note = SIGNER.checkpoint(123, ROOT)
    place = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(exclude_characters=note[place]))
    with pytest.raises(NotANote):
        open_checkpoint(note[:place] + other + note[place + 1 :], KEY)


@given(st.text())
def test_any_text_is_a_note_or_is_refused(text: str) -> None:
    with pytest.raises(NotANote):
        open_checkpoint(text, KEY)


@pytest.mark.parametrize(
    "body",
    [
        "o\n05\n" + base64.b64encode(ROOT).decode() + "\n", "o\n-5\n" + base64.b64encode(ROOT).decode() + "\n",
        "o\n5\n" + base64.b64encode(ROOT[:31]).decode() + "\n", "o\n5\nAAA\n", "\n5\n" + base64.b64encode(ROOT).decode() + "\n",
        "o\n5\n", "o\n5\n" + base64.b64encode(ROOT).decode(), "o\n\u0665\n" + base64.b64encode(ROOT).decode() + "\n",
        "o\n5\n" + base64.b64encode(ROOT).decode() + "\n\nmore\n",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(body: str) -> None:
    with pytest.raises(NotANote):
        parse_checkpoint(body)


def test_extension_lines_are_ignored() -> None:
    assert parse_checkpoint(f"o\n5\n{base64.b64encode(ROOT).decode()}\nmore\n").size == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        SAMPLE_KEY[:-1],
        SAMPLE_KEY.replace("c74f20a3", "c74f20a4"),
        SAMPLE_KEY.replace("PeterN", "PeterM"),
        "a+00000000+AAAA",
    ],
)
def test_a_mistyped_key_is_refused(text: str) -> None:
    with pytest.raises(NotANote):
        parse_key(text)


@pytest.mark.parametrize("text", ["AB==", "AA=", "AA", "A A=", "AA==\n", "AA-_", "é"])
def test_base64_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        strict_base64(text)
