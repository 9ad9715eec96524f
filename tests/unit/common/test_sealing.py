"""Sealed values: only the owner of the key reads them, and only unchanged."""

import base64
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey

from libs.common.sealing import Locker, NotSealed, Unsealer, seal

OWNER = Unsealer(bytes(PrivateKey.generate()))
OTHER = Unsealer(bytes(PrivateKey.generate()))


@given(st.binary(max_size=5000))
def test_what_was_sealed_comes_out_unchanged(plain: bytes) -> None:
    assert OWNER.unseal(seal(OWNER.public_key, plain)) == plain


def test_the_same_value_is_sealed_differently_each_time() -> None:
    assert seal(OWNER.public_key, b"17") != seal(OWNER.public_key, b"17")


def test_the_value_is_not_in_the_text() -> None:
    assert b"hunter2" not in base64.b64decode(seal(OWNER.public_key, b"hunter2"))


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(NotSealed):
        OTHER.unseal(seal(OWNER.public_key, b"17"))


@given(st.binary(min_size=1, max_size=40), st.data())
def test_a_sealed_value_with_any_byte_changed_does_not_open(plain: bytes, data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode(seal(OWNER.public_key, plain)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NotSealed):
        OWNER.unseal(base64.b64encode(raw).decode())


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "é", "A" * 64 + "\n", "=" * 10])
def test_what_was_never_sealed_does_not_open(text: str) -> None:
    with pytest.raises(NotSealed):
        OWNER.unseal(text)


def test_a_refusal_does_not_repeat_the_content() -> None:
    with pytest.raises(NotSealed) as refused:
        OWNER.unseal("hunter2")
    assert "hunter2" not in "".join(str(line) for line in traceback.format_exception_only(refused.value))
    assert refused.value.__cause__ is None


@given(st.binary(max_size=2000), st.binary(max_size=100))
def test_what_was_locked_opens_in_its_place_alone(plain: bytes, bound: bytes) -> None:
    locker = Locker(b"s" * 32)
    locked = locker.lock(plain, bound=bound)
    assert len(locked) == len(plain) + 28
    assert locker.unlock(locked, bound=bound) == plain
    assert locker.lock(plain, bound=bound) != locked
    for changed, place in (
        (locked, bound + b"x"), (locked[:-1] + bytes([locked[-1] ^ 1]), bound), (locked[1:], bound), (b"", bound),
        (locked[:11], bound),
    ):  # fmt: skip
        with pytest.raises(NotSealed):
            locker.unlock(changed, bound=place)
    with pytest.raises(NotSealed):
        Locker(b"t" * 32).unlock(locked, bound=bound)


def test_a_fingerprint_depends_on_text_and_secret_alone() -> None:
    one, other = Locker(b"s" * 32), Locker(b"t" * 32)
    assert one.fingerprint(b"text") == Locker(b"s" * 32).fingerprint(b"text")
    assert one.fingerprint(b"text") != one.fingerprint(b"texts")
    assert one.fingerprint(b"text") != other.fingerprint(b"text")
