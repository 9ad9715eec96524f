"""Who is locked out of signing in, and for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.features.attempts.models import (
    FROM_ANYWHERE,
    FROM_ONE_PLACE,
    Policy,
    counted_under,
    is_known_place,
    remaining_seconds,
)

POLICIES = st.builds(
    Policy, free=st.integers(1, 50), first_seconds=st.integers(1, 600), most_seconds=st.integers(600, 3600)
)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0), (4, 0), (5, 30), (6, 60), (7, 120), (9, 480), (10, 900), (1000, 900)]
)
def test_each_failure_past_the_free_ones_doubles_the_lock(failures: int, seconds: int) -> None:
    assert FROM_ONE_PLACE.lock_seconds(failures) == seconds


def test_nobody_is_locked_out_for_long_by_others() -> None:
    assert max(FROM_ANYWHERE.lock_seconds(failures) for failures in range(10_000)) == 60


@given(policy=POLICIES, failures=st.integers(0, 10**9))
def test_a_lock_never_shrinks_with_more_failures_and_never_passes_its_bound(policy: Policy, failures: int) -> None:
    now, later = policy.lock_seconds(failures), policy.lock_seconds(failures + 1)
    assert 0 <= now <= later <= policy.most_seconds
    assert (now > 0) == (failures >= policy.free)


def test_failures_are_counted_by_account_and_place() -> None:
    here = counted_under("a@example.com", "198.51.100.7")
    elsewhere = counted_under("a@example.com", "198.51.100.8")
    other = counted_under("b@example.com", "198.51.100.7")
    assert here.account == elsewhere.account != other.account
    assert len({here.place, elsewhere.place, other.place, here.account, other.account}) == 5


def test_a_household_is_one_place() -> None:
    one, other = (counted_under("a@example.com", f"2001:db8::{end}") for end in ("1", "ffff"))
    assert one == other
    assert is_known_place("2001:db8::1", ["2001:db8::2"])
    assert not is_known_place("2001:db8:0:1::1", ["2001:db8::2", None])


@given(place=st.integers(0, 900), account=st.integers(0, 60))
def test_where_the_owner_was_lately_only_failures_from_there_count(place: int, account: int) -> None:
    assert remaining_seconds(place=place, account=account, is_known=True) == place
    assert remaining_seconds(place=place, account=account, is_known=False) == max(place, account)


def test_a_counter_does_not_name_its_account() -> None:
    under = counted_under("somebody@example.com", "198.51.100.7")
    assert b"somebody" not in under.account + under.place
