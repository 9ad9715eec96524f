"""What an identity is called once its owner was erased."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.pseudonyms import PREFIX, names_of, pseudonym_of

SECRET = b"c" * 32
TEXTS = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=50)


@given(TEXTS, TEXTS)
def test_it_is_always_the_same_and_says_nothing(issuer: str, subject: str) -> None:
    found = pseudonym_of(SECRET, issuer, subject)
    assert found == pseudonym_of(SECRET, issuer, subject)
    assert (found.startswith(PREFIX), len(found)) == (True, len(PREFIX) + 64)
    assert names_of(SECRET, issuer, subject) == (subject, found)


@given(TEXTS, TEXTS)
def test_without_the_secret_nobody_makes_it_from_a_guess(issuer: str, subject: str) -> None:
    assert pseudonym_of(b"d" * 32, issuer, subject) != pseudonym_of(SECRET, issuer, subject)


@given(st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS))
def test_no_two_identities_share_one(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (pseudonym_of(SECRET, *one) == pseudonym_of(SECRET, *other)) == (one == other)
