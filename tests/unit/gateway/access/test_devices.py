"""What counts as the same device, and when a sign-in is worth a notice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.devices import MOST_DEVICE_NAME, device_of, is_news

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS {v}_5 like Mac OS X) AppleWebKit/605.1.15 Version/{v}.5 Mobile/15E148"


@pytest.mark.parametrize("agent", [FIREFOX, SAFARI, "curl/{v}.88.1", "python-httpx/0.{v}.1"])
def test_an_update_of_the_program_is_the_same_device(agent: str) -> None:
    assert device_of("198.51.100.7", agent.format(v=17)) == device_of("198.51.100.200", agent.format(v=18))


@pytest.mark.parametrize(
    ("address", "agent"),
    [
        ("198.51.101.7", FIREFOX),
        ("2001:db8::1", FIREFOX),
        (None, FIREFOX),
        ("198.51.100.7", SAFARI),
        ("198.51.100.7", None),
        ("198.51.100.7", "curl/8.0"),
    ],
)
def test_another_network_or_another_program_is_another_device(address: str | None, agent: str | None) -> None:
    known = device_of("198.51.100.7", FIREFOX)
    other = device_of(address, agent)
    assert other != known
    assert other.hash != known.hash


def test_the_two_parts_cannot_be_shifted_into_each_other() -> None:
    assert device_of("198.51.100.7", "a b").hash != device_of(None, "198.51.100.0/24 a b").hash


@given(st.none() | st.text(max_size=300), st.none() | st.text(max_size=600))
def test_whatever_a_program_calls_itself_the_name_is_a_bounded_line(address: str | None, agent: str | None) -> None:
    found = device_of(address, agent)
    assert 0 < len(found.name) <= MOST_DEVICE_NAME
    assert found.name.strip() == found.name or len(found.name) == MOST_DEVICE_NAME
    assert len(found.hash) == 32


@pytest.mark.parametrize(
    ("is_known", "has_history", "expected"),
    [(False, True, True), (True, True, False), (False, False, False), (True, False, False)],
)
def test_the_first_device_of_all_is_no_news(is_known: bool, has_history: bool, expected: bool) -> None:
    assert is_news(is_known=is_known, has_history=has_history) is expected
