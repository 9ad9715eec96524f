"""Commitments as the verifier computes them, held against the standard library."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.openings import commitment, mac, salt_of


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_our_hmac_is_that_of_the_library_whatever_the_length_of_the_key(key: bytes, message: bytes) -> None:
    assert mac(key, message) == hmac.digest(key, message, "sha256")


@given(st.binary(min_size=32, max_size=32), st.sampled_from(("/details", "/ip_address")), st.text())
def test_salts_and_commitments_are_those_of_the_format(seed: bytes, path: str, value: str) -> None:
    salt = salt_of(seed, path)
    assert salt == hmac.digest(seed, b"adminlog/salt/v1\0" + path.encode(), "sha256")
    message = b"adminlog/commit/v1\0" + path.encode() + b"\0" + value.encode("utf-8", "surrogatepass")
    assert commitment(salt, path, value) == hmac.digest(salt, message, "sha256")
