"""Who may change whose rights: the lattice has no way up."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Conflict, Forbidden
from libs.common.identity import Level
from services.gateway.access.grants import (
    Grantee,
    Grantor,
    Refusal,
    may_assign,
    may_change_role,
    may_decide,
    may_edit,
    may_grant,
    may_set_active,
    may_write_role,
    needs_four_eyes,
    refused,
)
from services.gateway.access.permissions import (
    EVERYTHING,
    NAMEABLE,
    NO_RIGHTS,
    PERMISSIONS,
    Rights,
    Role,
    builtin_rights,
    covers,
    holds,
)


def rights_of(role: Role) -> Rights:
    found = builtin_rights(role)
    assert found is not None
    return found


RANK = {Role.SUPER_ADMIN: 3, Role.ADMIN: 2, Role.MODERATOR: 1, Role.VIEWER: 1}
UNIVERSE = (*PERMISSIONS, "settings:invented", "billing:invented", "invented:later")
"""Every permission, and some that come with a later version: a wildcard holds those too."""
roles = st.sampled_from(list(Role))
levels = st.sampled_from(list(Level))
CROWDED = ("settings:read", "settings:write", "settings:*", "audit:read", "users:write", "roles:write")
permission_sets = st.frozensets(st.sampled_from(CROWDED)) | st.frozensets(
    st.sampled_from(sorted(NAMEABLE)), max_size=60
)
rights_sets = st.builds(Rights, level=levels, permissions=permission_sets) | roles.map(rights_of) | st.just(NO_RIGHTS)


def grantor(role: Role, *, who: str = "a") -> Grantor:
    return Grantor(id=who, role=role, rights=rights_of(role))


def grantee(role: Role, *, who: str = "b", is_active: bool = True) -> Grantee:
    return Grantee(id=who, role=role, rights=rights_of(role), is_active=is_active)


def effective(rights: Rights) -> frozenset[str]:
    """What a set of rights lets its holder do, wildcards written out."""
    return frozenset(permission for permission in UNIVERSE if holds(rights.permissions, permission))


@pytest.mark.parametrize("target", list(Role))
@pytest.mark.parametrize("role", [Role.SUPER_ADMIN, Role.ADMIN])
def test_roles_up_to_ones_own_may_be_given(role: Role, target: Role) -> None:
    assert (may_assign(grantor(role), rights_of(target)) is None) == (RANK[target] <= RANK[role])


@pytest.mark.parametrize(("role", "target"), [(Role.MODERATOR, Role.VIEWER), (Role.VIEWER, Role.MODERATOR)])
def test_roles_that_hold_other_things_may_not_be_given(role: Role, target: Role) -> None:
    assert may_assign(grantor(role), rights_of(target)) is Refusal.INSUFFICIENT_ROLE


@given(held=rights_sets, other=rights_sets)
def test_what_is_covered_can_do_nothing_more(held: Rights, other: Rights) -> None:
    if covers(held, other):
        assert effective(other) <= effective(held)
        assert list(Level).index(other.level) <= list(Level).index(held.level)


@given(one=rights_sets, other=rights_sets, third=rights_sets)
def test_covering_is_a_partial_order(one: Rights, other: Rights, third: Rights) -> None:
    assert covers(one, one)
    if covers(one, other) and covers(other, third):
        assert covers(one, third)
    if covers(one, other) and covers(other, one):
        assert effective(one) == effective(other)
        assert one.level is other.level


@given(one=rights_sets)
def test_a_super_admin_covers_everybody_and_only_a_super_admin_covers_them(one: Rights) -> None:
    everything = rights_of(Role.SUPER_ADMIN)
    assert covers(everything, one)
    assert covers(one, everything) == (EVERYTHING in one.permissions)


@dataclass
class World:
    """Accounts with roles, and the custom roles there are; edits happen as the decisions let them."""

    held: list[str]
    active: list[bool]
    custom: dict[str, Rights] = field(default_factory=dict)

    def rights(self, role: str) -> Rights:
        return builtin_rights(role) or self.custom.get(role, NO_RIGHTS)

    def grantor(self, who: int) -> Grantor:
        return Grantor(id=str(who), role=self.held[who], rights=self.rights(self.held[who]))

    def grantee(self, who: int) -> Grantee:
        role = self.held[who]
        return Grantee(id=str(who), role=role, rights=self.rights(role), is_active=self.active[who])

    def super_admins(self) -> int:
        return sum(
            role == Role.SUPER_ADMIN and is_active for role, is_active in zip(self.held, self.active, strict=True)
        )

    def effective(self) -> list[frozenset[str]]:
        return [
            effective(self.rights(role)) if is_active else frozenset()
            for role, is_active in zip(self.held, self.active, strict=True)
        ]

    def could(self) -> list[frozenset[str]]:
        """What each account can do, or could if it were switched on."""
        return [effective(self.rights(role)) for role in self.held]

    def change_role(self, by: int, whom: int, role: str) -> None:
        decision = may_change_role(
            self.grantor(by), self.grantee(whom), role, self.rights(role), active_super_admins=self.super_admins()
        )
        if decision is None:
            self.held[whom] = role

    def set_active(self, by: int, whom: int, is_active: bool) -> None:
        decision = may_set_active(
            self.grantor(by), self.grantee(whom), is_active=is_active, active_super_admins=self.super_admins()
        )
        if decision is None:
            self.active[whom] = is_active

    def write_role(self, by: int, name: str, new: Rights | None) -> None:
        in_use = name in self.held
        if (new is None and in_use) or EVERYTHING in (new or NO_RIGHTS).permissions:
            return  # 409 `role_in_use`, and `*` is in no custom role
        if may_write_role(self.grantor(by), name, old=self.custom.get(name), new=new) is None:
            self.custom.pop(name, None)
            if new is not None:
                self.custom[name] = new


NAMES = ("r1", "r2", "r3")
names = st.sampled_from(NAMES)
people = st.integers(0, 4)
edits = st.one_of(
    st.tuples(st.just("role"), people, people, roles.map(str) | names),
    st.tuples(st.just("active"), people, people, st.booleans()),
    st.tuples(
        st.just("write"), people, names, st.builds(Rights, level=levels, permissions=permission_sets) | st.none()
    ),
)
custom_roles = st.fixed_dictionaries(
    {name: st.builds(Rights, level=levels, permissions=permission_sets) for name in NAMES}
)


@given(
    custom=custom_roles,
    others=st.lists(roles.map(str) | names, min_size=4, max_size=4),
    done=st.lists(edits, max_size=25),
)
def test_no_edit_ever_gives_or_takes_more_than_its_editor_holds(
    custom: dict[str, Rights], others: list[str], done: list[tuple[object, ...]]
) -> None:
    world = World(held=[str(Role.SUPER_ADMIN), *others], active=[True] * 5, custom=dict(custom))
    for kind, by, *rest in done:
        assert isinstance(by, int)
        if not world.active[by]:
            continue
        before, could = world.effective(), world.could()
        match kind:
            case "role":
                world.change_role(by, *rest)  # type: ignore[arg-type]
            case "active":
                world.set_active(by, *rest)  # type: ignore[arg-type]
            case _:
                world.write_role(by, *rest)  # type: ignore[arg-type]
        for who, (old, new) in enumerate(zip(before, world.effective(), strict=True)):
            assert new - old <= before[by], f"{by} gave {who} what they lack by {kind} {rest}"
            assert old == new or could[who] <= could[by], f"{by} changed {who}, who is above them, by {kind} {rest}"
        assert world.effective()[by] == before[by], f"{by} changed themselves by {kind} {rest}"
        assert world.super_admins() >= 1


@pytest.mark.parametrize("to", [Role.ADMIN, Role.MODERATOR, Role.VIEWER])
def test_the_only_super_admin_is_told_that_they_are_the_last(to: Role) -> None:
    me = grantee(Role.SUPER_ADMIN, who="a")
    first = grantor(Role.SUPER_ADMIN)
    assert may_change_role(first, me, to, rights_of(to), active_super_admins=1) is Refusal.LAST_SUPER_ADMIN
    assert may_set_active(first, me, is_active=False, active_super_admins=1) is Refusal.LAST_SUPER_ADMIN


@pytest.mark.parametrize("role", [Role.SUPER_ADMIN, Role.ADMIN])
def test_nobody_changes_themselves(role: Role) -> None:
    me = grantee(role, who="a")
    to = Role.VIEWER
    assert may_change_role(grantor(role), me, to, rights_of(to), active_super_admins=2) is Refusal.SELF_CHANGE
    assert may_set_active(grantor(role), me, is_active=False, active_super_admins=2) is Refusal.SELF_CHANGE
    assert may_edit(grantor(role), me) is None


def test_nobody_writes_the_role_that_they_have() -> None:
    mine = Rights(Level.WRITE, frozenset({"roles:write", "audit:read"}))
    me = Grantor(id="a", role="auditor", rights=mine)
    less = Rights(Level.READ, frozenset({"audit:read"}))
    assert may_write_role(me, "auditor", old=mine, new=less) is Refusal.SELF_CHANGE
    assert may_write_role(me, "auditor", old=mine, new=None) is Refusal.SELF_CHANGE
    assert may_write_role(me, "other", old=None, new=less) is None


def test_a_role_above_ones_own_cannot_even_be_made_smaller() -> None:
    me = Grantor(id="a", role="auditor", rights=Rights(Level.READ, frozenset({"roles:write", "audit:read"})))
    above = Rights(Level.READ, frozenset({"billing:read"}))
    assert may_write_role(me, "other", old=above, new=NO_RIGHTS) is Refusal.INSUFFICIENT_ROLE
    louder = Rights(Level.ADMIN, frozenset({"audit:read"}))
    assert may_write_role(me, "other", old=None, new=louder) is Refusal.INSUFFICIENT_ROLE


def test_an_inactive_super_admin_is_not_counted_on() -> None:
    gone = grantee(Role.SUPER_ADMIN, is_active=False)
    viewer = rights_of(Role.VIEWER)
    assert may_change_role(grantor(Role.SUPER_ADMIN), gone, Role.VIEWER, viewer, active_super_admins=1) is None


def test_an_admin_cannot_touch_a_super_admin() -> None:
    admin, first = grantor(Role.ADMIN), grantee(Role.SUPER_ADMIN)
    viewer = rights_of(Role.VIEWER)
    assert may_change_role(admin, first, Role.VIEWER, viewer, active_super_admins=9) is Refusal.INSUFFICIENT_ROLE
    assert may_set_active(admin, first, is_active=False, active_super_admins=9) is Refusal.INSUFFICIENT_ROLE
    assert may_edit(admin, first) is Refusal.INSUFFICIENT_ROLE


@pytest.mark.parametrize(
    ("held", "asked", "may"),
    [
        (frozenset(PERMISSIONS), ["*"], False),
        (frozenset({"settings:read", "settings:write"}), ["settings:*"], False),
        (frozenset({"settings:*"}), ["settings:*", "settings:read"], True),
    ],
)
def test_a_wildcard_is_granted_only_by_who_holds_as_much(held: frozenset[str], asked: list[str], may: bool) -> None:
    assert may_grant(Grantor(id="a", role="x", rights=Rights(Level.ADMIN, held)), asked) is may


@pytest.mark.parametrize(
    ("asked_by", "permission", "approves", "refusal"),
    [
        ("a", "billing:read", True, Refusal.OWN_REQUEST),
        ("a", "billing:read", False, Refusal.OWN_REQUEST),
        ("b", "settings:reveal", True, Refusal.INSUFFICIENT_ROLE),
        ("b", "settings:reveal", False, None),
        ("b", "billing:read", True, None),
    ],
)
def test_a_request_is_decided_by_somebody_else_who_holds_what_is_asked_for(
    asked_by: str, permission: str, approves: bool, refusal: Refusal | None
) -> None:
    assert may_decide(grantor(Role.ADMIN), asked_by=asked_by, permission=permission, approves=approves) is refusal


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal.INSUFFICIENT_ROLE, Forbidden),
        (Refusal.LAST_SUPER_ADMIN, Conflict),
        (Refusal.SELF_CHANGE, Conflict),
        (Refusal.OWN_REQUEST, Forbidden),
    ],
)
def test_each_refusal_has_its_error(refusal: Refusal, kind: type[Exception]) -> None:
    error = refused(refusal)
    assert isinstance(error, kind)
    assert error.code == refusal.value


@given(rights_sets, rights_sets)
def test_four_eyes_are_for_what_is_everything_and_was_not_before(has: Rights, gains: Rights) -> None:
    everything = EVERYTHING in gains.permissions
    assert needs_four_eyes(has=has, gains=gains) is (everything and EVERYTHING not in has.permissions)


def test_each_permission_by_name_is_not_everything() -> None:
    by_name = Rights(Level.ADMIN, frozenset(PERMISSIONS))
    assert not needs_four_eyes(has=NO_RIGHTS, gains=by_name)
    assert needs_four_eyes(has=by_name, gains=rights_of(Role.SUPER_ADMIN))
