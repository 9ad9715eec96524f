"""Who may give whom which role: the lattice has no way up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Conflict, Forbidden
from services.gateway.access.grants import (
    Grantee,
    Grantor,
    Refusal,
    may_assign,
    may_change_role,
    may_grant,
    refused,
)
from services.gateway.access.permissions import PERMISSIONS, Role, holds_all, permissions_of

RANK = {Role.SUPER_ADMIN: 3, Role.ADMIN: 2, Role.MODERATOR: 1, Role.VIEWER: 1}
roles = st.sampled_from(list(Role))


def grantor(role: Role, *, who: str = "a") -> Grantor:
    return Grantor(id=who, permissions=permissions_of(role))


def grantee(role: Role, *, who: str = "b", is_active: bool = True) -> Grantee:
    return Grantee(id=who, role=role, is_active=is_active)


@pytest.mark.parametrize("target", list(Role))
@pytest.mark.parametrize("role", [Role.SUPER_ADMIN, Role.ADMIN])
def test_roles_up_to_ones_own_may_be_given(role: Role, target: Role) -> None:
    assert (may_assign(grantor(role), target) is None) == (RANK[target] <= RANK[role])


@pytest.mark.parametrize(("role", "target"), [(Role.MODERATOR, Role.VIEWER), (Role.VIEWER, Role.MODERATOR)])
def test_roles_that_hold_other_things_may_not_be_given(role: Role, target: Role) -> None:
    assert may_assign(grantor(role), target) is Refusal.INSUFFICIENT_ROLE


@given(held=st.frozensets(st.sampled_from((*PERMISSIONS, "settings:*", "*"))), target=roles)
def test_nobody_gives_what_they_do_not_hold(held: frozenset[str], target: Role) -> None:
    if may_assign(Grantor(id="a", permissions=held), target) is None:
        assert holds_all(held, permissions_of(target))


@given(who=roles, other=roles, to=roles, admins=st.integers(1, 5), is_active=st.booleans())
def test_no_change_ever_exceeds_the_one_who_makes_it(
    who: Role, other: Role, to: Role, admins: int, is_active: bool
) -> None:
    actor = grantor(who)
    if may_change_role(actor, grantee(other, is_active=is_active), to, active_super_admins=admins) is None:
        assert permissions_of(other) <= actor.permissions
        assert permissions_of(to) <= actor.permissions


@given(
    edits=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), roles), max_size=40),
    start=st.lists(roles, min_size=4, max_size=4),
)
def test_no_sequence_of_changes_loses_the_last_super_admin(
    edits: list[tuple[int, int, Role]], start: list[Role]
) -> None:
    held = [Role.SUPER_ADMIN, *start[1:]]
    for by, whom, to in edits:
        count = held.count(Role.SUPER_ADMIN)
        decision = may_change_role(
            grantor(held[by], who=str(by)), grantee(held[whom], who=str(whom)), to, active_super_admins=count
        )
        if decision is None:
            held[whom] = to
    assert Role.SUPER_ADMIN in held


@pytest.mark.parametrize("to", [Role.ADMIN, Role.MODERATOR, Role.VIEWER])
def test_the_only_super_admin_is_told_that_they_are_the_last(to: Role) -> None:
    me = grantee(Role.SUPER_ADMIN, who="a")
    assert may_change_role(grantor(Role.SUPER_ADMIN), me, to, active_super_admins=1) is Refusal.LAST_SUPER_ADMIN


@pytest.mark.parametrize("role", [Role.SUPER_ADMIN, Role.ADMIN])
def test_nobody_changes_themselves(role: Role) -> None:
    me = grantee(role, who="a")
    assert may_change_role(grantor(role), me, Role.VIEWER, active_super_admins=2) is Refusal.SELF_CHANGE


def test_an_inactive_super_admin_is_not_counted_on() -> None:
    gone = grantee(Role.SUPER_ADMIN, is_active=False)
    assert may_change_role(grantor(Role.SUPER_ADMIN), gone, Role.VIEWER, active_super_admins=1) is None


def test_an_admin_cannot_touch_a_super_admin() -> None:
    decision = may_change_role(grantor(Role.ADMIN), grantee(Role.SUPER_ADMIN), Role.VIEWER, active_super_admins=9)
    assert decision is Refusal.INSUFFICIENT_ROLE


def test_a_wildcard_is_granted_only_by_who_holds_as_much() -> None:
    assert not may_grant(Grantor(id="a", permissions=frozenset(PERMISSIONS)), ["*"])
    assert not may_grant(Grantor(id="a", permissions=frozenset({"settings:read", "settings:write"})), ["settings:*"])
    assert may_grant(Grantor(id="a", permissions=frozenset({"settings:*"})), ["settings:*", "settings:read"])


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal.INSUFFICIENT_ROLE, Forbidden),
        (Refusal.LAST_SUPER_ADMIN, Conflict),
        (Refusal.SELF_CHANGE, Conflict),
    ],
)
def test_each_refusal_has_its_error(refusal: Refusal, kind: type[Exception]) -> None:
    error = refused(refusal)
    assert isinstance(error, kind)
    assert error.code == refusal.value
