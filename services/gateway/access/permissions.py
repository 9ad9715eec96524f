"""The roles and permissions of the platform as data, and what can be read off them.

The table is the public contract's, row by row. Everything here is pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

from libs.common.identity import Level


class Role(StrEnum):
    """The built-in roles, most powerful first."""

    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    MODERATOR = "moderator"
    VIEWER = "viewer"


RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A built-in or custom role's name; whether there is such a role is another question."""

EVERYTHING = "*"

_COLUMNS = {"s": Role.SUPER_ADMIN, "a": Role.ADMIN, "m": Role.MODERATOR, "v": Role.VIEWER}
_TABLE = {
    "users:read": "sa-v",
    "users:write": "sa--",
    "users:delete": "s---",
    "roles:write": "s---",
    "sessions:revoke": "s---",
    "security:write": "s---",
    "dead_letters:write": "s---",
    "roles:read": "sa-v",
    "sessions:read": "sa-v",
    "security:read": "sa-v",
    "connectors:read": "sa-v",
    "connectors:write": "sa--",
    "settings:read": "sa-v",
    "settings:write": "sa--",
    "settings:reveal": "s---",
    "library:read": "sa-v",
    "library:write": "sa--",
    "audit:read": "sa-v",
    "audit:export": "sa--",
    "audit:verify": "sa-v",
    "notifications:read": "samv",
    "notifications:write": "sam-",
    "alerts:read": "samv",
    "alerts:write": "sam-",
    "rules:read": "sa-v",
    "rules:write": "sa--",
    "channels:read": "sa-v",
    "channels:write": "sa--",
    "system:read": "samv",
    "analytics:read": "sa-v",
    "billing:read": "sa-v",
    "billing:write": "sa--",
    "billing:approve": "sa--",
    "moderation:read": "samv",
    "moderation:decide": "sam-",
    "exports:read": "sa-v",
    "exports:create": "sa--",
    "events:publish": "s---",
    "alerts:ingest": "s---",
    "flags:evaluate": "s---",
}

PERMISSIONS: tuple[str, ...] = tuple(_TABLE)
"""Every permission there is; a route may ask for no other."""

_LEVELS = {
    Role.SUPER_ADMIN: Level.ADMIN,
    Role.ADMIN: Level.ADMIN,
    Role.MODERATOR: Level.WRITE,
    Role.VIEWER: Level.READ,
}
_HELD: dict[Role, frozenset[str]] = {
    role: frozenset(name for name, holders in _TABLE.items() if letter in holders) for letter, role in _COLUMNS.items()
}
# Named ones beside the wildcard, so that a frontend may look for either.
_HELD[Role.SUPER_ADMIN] |= {EVERYTHING}

GUARDS_SECRETS: frozenset[str] = frozenset(
    {"settings:reveal", "settings:write", "roles:write", "connectors:write", "channels:write"}
)
"""Permissions of routes that show, take or make secrets: enforced even where denials are only observed."""

NAMEABLE: frozenset[str] = frozenset(PERMISSIONS) | {f"{name.partition(':')[0]}:*" for name in PERMISSIONS}
"""What a custom role may hold: every permission and `<resource>:*`. `*` is the super admin's alone."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a role gives: its permission level and everything it holds."""

    level: Level
    permissions: frozenset[str]


NO_RIGHTS = Rights(Level.NONE, frozenset())
"""Of no role, and of one that is not there."""


def builtin_rights(role: str) -> Rights | None:
    """What a built-in role gives; None for every other name."""
    return Rights(level_of(role), permissions_of(role)) if role in _HELD else None


def covers(held: Rights, other: Rights) -> bool:
    """Whether `other` is not above `held`: it holds nothing that `held` does not, and its level is no higher.

    A partial order: of two roles, neither may cover the other. Then each is above the other.
    """
    levels = list(Level)
    return levels.index(other.level) <= levels.index(held.level) and holds_all(held.permissions, other.permissions)


def permissions_of(role: str | None) -> frozenset[str]:
    """What a built-in role holds; nothing for no role and for any other."""
    return _HELD[Role(role)] if role in _HELD else frozenset()


def level_of(role: str | None) -> Level:
    """A built-in role's permission level; `none` for no role and for any other."""
    return _LEVELS[Role(role)] if role in _LEVELS else Level.NONE


def holds(held: Iterable[str], permission: str) -> bool:
    """Whether a set of permissions contains one, directly or through `*` or `<resource>:*`."""
    wanted = {permission, EVERYTHING, f"{permission.partition(':')[0]}:*"}
    return not wanted.isdisjoint(held)


def holds_all(held: frozenset[str], permissions: Iterable[str]) -> bool:
    """Whether each of `permissions` is held; `*` and `<resource>:*` are held only by those who hold as much."""
    return all(holds(held, permission) for permission in permissions)


def privileges_for(permission: str) -> str:
    """The least level from which on every role holds a permission, as the refusal's text names it."""
    holders = _TABLE.get(permission, "s---")
    if "a" not in holders:
        return "super admin"
    if "m" not in holders:
        return Level.ADMIN.value
    return Level.READ.value if "v" in holders else Level.WRITE.value
