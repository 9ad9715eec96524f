"""Commitments as the verifier computes them, held against the standard library."""

import hmac
from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.findings import Kind
from services.audit.verifier.leaves import Leaf
from services.audit.verifier.openings import ERASED, Seeded, commitment, commitments, judge, mac, salt_of
from services.audit.verifier.ordinary import PATHS


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_our_hmac_is_that_of_the_library_whatever_the_length_of_the_key(key: bytes, message: bytes) -> None:
    assert mac(key, message) == hmac.digest(key, message, "sha256")


@given(st.binary(min_size=32, max_size=32), st.sampled_from(("/details", "/ip_address")), st.text())
def test_salts_and_commitments_are_those_of_the_format(seed: bytes, path: str, value: str) -> None:
    salt = salt_of(seed, path)
    assert salt == hmac.digest(seed, b"adminlog/salt/v1\0" + path.encode(), "sha256")
    message = b"adminlog/commit/v1\0" + path.encode() + b"\0" + value.encode("utf-8", "surrogatepass")
    assert commitment(salt, path, value) == hmac.digest(salt, message, "sha256")


@given(st.binary(max_size=64), st.lists(st.none() | st.text(), min_size=len(PATHS), max_size=len(PATHS)))
def test_a_seed_gives_all_commitments_at_once(seed: bytes, texts: list[str | None]) -> None:
    one_by_one = tuple(
        None if text is None else b64encode(commitment(salt_of(seed, path), path, text)).decode()
        for path, text in zip(PATHS, texts, strict=True)
    )
    assert commitments(Seeded(seed, texts)) == one_by_one


@given(st.binary(max_size=100), st.text(max_size=5))
def test_a_salt_may_have_any_length(salt: bytes, value: str) -> None:
    message = b"adminlog/commit/v1\0/details\0" + value.encode("utf-8", "surrogatepass")
    assert commitment(salt, "/details", value) == hmac.digest(salt, message, "sha256")


def test_a_seed_of_any_length_opens_what_it_committed_to() -> None:
    seed = bytes(range(70))
    shown = Seeded(seed, ["x" if path == "/details" else None for path in PATHS])
    wanted = b64encode(commitment(salt_of(seed, "/details"), "/details", "x")).decode()
    assert judge(a_leaf({"/details": wanted}), shown).held == 1
    assert len(judge(a_leaf({"/details": wanted, "/changes": wanted}), shown).findings) == 1


def a_leaf(commits: dict[str, str]) -> Leaf:
    return Leaf(7, "t", "p", None, "", "", commits, None, ())


def test_a_file_shows_nothing_that_the_leaf_does_not_commit_to() -> None:
    """A path that was changed hides the one that it was."""
    (found,) = judge(a_leaf({}), {"/detailt": ERASED}).findings
    assert (found.kind, found.index) == (Kind.COMMITMENT, 7)


def test_a_row_has_a_place_for_what_its_entry_never_had() -> None:
    assert judge(a_leaf({}), {"/details": (None, None, False)}).findings == []
