"""How long a grant may last, what state it is in, and the explanation of a decision."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Invalid
from libs.common.identity import Level
from services.gateway.access.permissions import EVERYTHING, NAMEABLE, PERMISSIONS, Rights, Role, holds, permissions_of
from services.gateway.features.access_requests.models import (
    MOST_GRANT_DAYS,
    AccessRequest,
    LiveGrant,
    Standing,
    State,
    check_until,
    explain,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def request(state: State, *, until: datetime | None = None) -> AccessRequest:
    return AccessRequest(
        id="r", user_id="u", permission="audit:read", reason="x", state=state, until=until, decided_by=None,
        decided_at=None, decision_reason=None, ended_at=None, end_reason=None, created_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("after", "may"),
    [
        (timedelta(0), False),
        (timedelta(microseconds=-1), False),
        (timedelta(microseconds=1), True),
        (timedelta(days=MOST_GRANT_DAYS), True),
        (timedelta(days=MOST_GRANT_DAYS, microseconds=1), False),
    ],
)
def test_a_grant_ends_later_than_now_and_within_thirty_days(after: timedelta, may: bool) -> None:
    if may:
        check_until(NOW + after, now=NOW)
        return
    with pytest.raises(Invalid) as refused:
        check_until(NOW + after, now=NOW)
    assert refused.value.code == "invalid_until"


@pytest.mark.parametrize("state", list(State))
def test_only_time_ends_a_grant_and_nothing_else(state: State) -> None:
    over = request(state, until=NOW)
    assert over.state_at(NOW) is (State.ENDED if state is State.APPROVED else state)
    assert over.state_at(NOW - timedelta(microseconds=1)) is state


permissions = st.sampled_from(PERMISSIONS)


@given(
    held=st.frozensets(st.sampled_from(sorted(NAMEABLE | {EVERYTHING})), max_size=8),
    borrowed=st.lists(permissions, max_size=3),
    is_active=st.booleans(),
    permission=permissions,
)
def test_an_explanation_says_granted_exactly_when_the_guard_lets_in(
    held: frozenset[str], borrowed: list[str], is_active: bool, permission: str
) -> None:
    grants = tuple(LiveGrant(request_id="r", permission=one, until=NOW, decided_by="a") for one in borrowed)
    found = explain(Standing(is_active, "role", Rights(Level.READ, held), grants), permission)
    assert found.is_granted == (is_active and holds(held | frozenset(borrowed), permission))
    assert bool(found.by) == found.is_granted
    assert bool(found.missing) != found.is_granted


def test_of_the_built_in_roles_only_one_approves() -> None:
    """What the search for those who could grant relies on."""
    assert [role for role in Role if holds(permissions_of(role), "roles:write")] == [Role.SUPER_ADMIN]
