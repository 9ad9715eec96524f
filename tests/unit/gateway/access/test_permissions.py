"""The permission table is the contract's, and what is read off it holds together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.identity import Actor, ActorType, Level
from services.gateway.access.permissions import (
    PERMISSIONS,
    Role,
    holds,
    holds_all,
    level_of,
    permissions_of,
    privileges_for,
)

CONTRACT = {
    ("super_admin", "admin", "viewer"): (
        "users:read roles:read sessions:read security:read connectors:read settings:read library:read audit:read"
        " audit:verify rules:read channels:read analytics:read billing:read exports:read"
    ),
    ("super_admin", "admin"): (
        "users:write connectors:write settings:write library:write audit:export rules:write channels:write billing:write"
        " billing:approve exports:create"
    ),
    ("super_admin",): (
        "users:delete roles:write sessions:revoke security:write dead_letters:write settings:reveal events:publish"
        " alerts:ingest flags:evaluate"
    ),
    ("super_admin", "admin", "moderator"): "notifications:write alerts:write moderation:decide",
    ("super_admin", "admin", "moderator", "viewer"): "notifications:read alerts:read system:read moderation:read",
}
HOLDERS = {name: holders for holders, names in CONTRACT.items() for name in names.split()}


@pytest.mark.parametrize("permission", PERMISSIONS)
@pytest.mark.parametrize("role", list(Role))
def test_each_role_holds_exactly_what_the_contract_gives_it(role: Role, permission: str) -> None:
    assert (permission in permissions_of(role)) == (role in HOLDERS[permission])


def test_every_permission_of_the_contract_is_known() -> None:
    assert set(PERMISSIONS) == set(HOLDERS)


@pytest.mark.parametrize(
    ("role", "level"),
    [
        ("super_admin", Level.ADMIN),
        ("admin", Level.ADMIN),
        ("moderator", Level.WRITE),
        ("viewer", Level.READ),
        (None, Level.NONE),
        ("owner", Level.NONE),
    ],
)
def test_each_role_has_its_level(role: str | None, level: Level) -> None:
    assert level_of(role) is level


@pytest.mark.parametrize("role", [None, "owner", "", "SUPER_ADMIN", "*"])
def test_an_unknown_role_holds_nothing(role: str | None) -> None:
    assert permissions_of(role) == frozenset()


def test_only_a_super_admin_holds_what_is_not_named_yet() -> None:
    assert [role for role in Role if holds(permissions_of(role), "invented:later")] == [Role.SUPER_ADMIN]


@pytest.mark.parametrize(
    ("permission", "privileges"),
    [
        ("settings:write", "admin"),
        ("settings:read", "admin"),
        ("notifications:write", "write"),
        ("notifications:read", "read"),
        ("users:delete", "super admin"),
        ("events:publish", "super admin"),
        ("invented:later", "super admin"),
    ],
)
def test_a_refusal_names_the_least_level_that_suffices(permission: str, privileges: str) -> None:
    assert privileges_for(permission) == privileges


held_sets = st.frozensets(st.sampled_from((*PERMISSIONS, "*", "settings:*", "audit:*")))


@given(held=held_sets, permission=st.sampled_from(PERMISSIONS))
def test_both_readings_of_a_permission_set_agree(held: frozenset[str], permission: str) -> None:
    actor = Actor(id="a", type=ActorType.ADMIN, username="a", role=None, level=Level.NONE, permissions=held)
    assert actor.may(permission) == holds(held, permission)


@given(held=held_sets)
def test_whoever_holds_all_of_a_set_holds_each_of_it(held: frozenset[str]) -> None:
    assert holds_all(held, held)
    assert holds_all(frozenset("*"), held)
    assert holds_all(held, ["*"]) == ("*" in held)
