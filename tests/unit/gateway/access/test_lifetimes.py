"""How often a session's use is noted, for any limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.lifetimes import Lifetimes


@pytest.mark.parametrize(
    ("idle_seconds", "seen_every", "cached_for"), [(3600, 60, 5), (600, 60, 5), (300, 30, 5), (20, 2, 2), (1, 0.1, 0.1)]
)
def test_use_is_noted_once_a_minute_and_oftener_where_the_limit_is_short(
    idle_seconds: int, seen_every: float, cached_for: float
) -> None:
    lifetimes = Lifetimes(idle_seconds=idle_seconds)
    assert (lifetimes.seen_every_seconds, lifetimes.cache_seconds) == (seen_every, cached_for)


@given(st.integers(1, 7 * 86400))
def test_what_is_not_noted_costs_at_most_a_fifth_of_the_idle_limit(idle_seconds: int) -> None:
    lifetimes = Lifetimes(idle_seconds=idle_seconds)
    unnoticed = lifetimes.seen_every_seconds + lifetimes.cache_seconds
    assert unnoticed <= min(65, idle_seconds / 5)
