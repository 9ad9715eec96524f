"""Ids that say whom to ask, and links that open one download for a while."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Unauthenticated
from services.gateway.features.exports.models import (
    LINK_SECONDS,
    SOURCES,
    DownloadLinks,
    find_source,
    new_export_id,
    source_of,
)

EXPORT, OTHER, SESSION = UUID(int=7), UUID(int=8), "0199a0c0-0000-7000-8000-00000000000a"
LINKS = DownloadLinks(b"k" * 32)


def test_an_id_names_its_source_and_is_a_uuid_of_version_7() -> None:
    for source in SOURCES:
        ids = [new_export_id(source) for _ in range(200)]
        assert len(set(ids)) == 200
        assert {one.version for one in ids} == {7}
        assert {source_of(one) for one in ids} == {source}
        assert find_source(source.name) is source


def test_numbers_and_names_of_sources_are_their_own() -> None:
    assert len({source.number for source in SOURCES}) == len({source.name for source in SOURCES}) == len(SOURCES)
    assert all(1 <= source.number <= 255 for source in SOURCES)
    assert source_of(UUID(int=0)) is None


def test_a_link_says_whose_session_it_belongs_to_until_it_ends() -> None:
    link = LINKS.sign(EXPORT, session_id=SESSION, now=1000)
    assert LINKS.check(link, EXPORT, now=1000 + LINK_SECONDS - 1) == SESSION
    with pytest.raises(Unauthenticated) as caught:
        LINKS.check(link, EXPORT, now=1000 + LINK_SECONDS)
    assert caught.value.code == "link_expired"


@pytest.mark.parametrize("text", ["", "x", "=", "ü", "A" * 96, "A" * 97, "A" * 2000, "\u0000"])
def test_what_is_no_link_opens_nothing(text: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        LINKS.check(text, EXPORT, now=0)
    assert caught.value.code == "invalid_link"


@given(st.integers(min_value=0, max_value=95), st.sampled_from("ABCDefgh0123-_"))
def test_a_changed_link_opens_nothing(place: int, letter: str) -> None:
    link = LINKS.sign(EXPORT, session_id=SESSION, now=1000)
    changed = link[:place] + letter + link[place + 1 :]
    if changed != link:
        with pytest.raises(Unauthenticated):
            LINKS.check(changed, EXPORT, now=1000)


def test_a_link_opens_no_other_export_and_another_key_makes_none() -> None:
    link = LINKS.sign(EXPORT, session_id=SESSION, now=1000)
    for links, export_id in ((LINKS, OTHER), (DownloadLinks(b"o" * 32), EXPORT)):
        with pytest.raises(Unauthenticated) as caught:
            links.check(link, export_id, now=1000)
        assert caught.value.code == "invalid_link"
