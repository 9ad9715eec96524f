"""The gateway's own sources of exports: accounts and security events, each row as their lists answer it."""

from collections.abc import AsyncIterator, Mapping, Sequence

from libs.common.database.engine import Connection
from libs.common.exports.numbered import NumberedSource
from libs.common.exports.rows import Column, Kind, Row
from libs.common.exports.source import Source
from services.gateway.features.security_events import store as events_store
from services.gateway.features.security_events.schemas import SecurityEventFilters, SecurityEventResponse
from services.gateway.features.users import store as users_store
from services.gateway.features.users.schemas import UserFilters, UserResponse, user_fields

_KINDS: Mapping[str, Kind] = {
    "count": "integer", "version": "integer", "resolved": "boolean", "is_active": "boolean",
    "awaits_activation": "boolean", "details": "json", "created_at": "time", "last_at": "time", "resolved_at": "time",
    "updated_at": "time", "last_login_at": "time", "erased_at": "time",
}  # fmt: skip


def own_sources() -> Mapping[str, Source]:
    """By name."""
    events = NumberedSource(
        "security_events", columns=_columns(SecurityEventResponse.model_fields), filters=SecurityEventFilters,
        rows=_events, end=events_store.end_of_numbers,
    )  # fmt: skip
    users = NumberedSource(
        "users", columns=_columns(UserResponse.model_fields), filters=UserFilters, rows=_users,
        end=users_store.end_of_numbers,
    )  # fmt: skip
    return {events.name: events, users.name: users}


def _columns(names: Mapping[str, object]) -> Sequence[Column]:
    return [Column(name, _KINDS.get(name, "text")) for name in names]


async def _events(
    connection: Connection, filters: SecurityEventFilters, start: int, stop: int
) -> AsyncIterator[Sequence[Row]]:
    names = tuple(SecurityEventResponse.model_fields)
    async for found in events_store.numbered(connection, filters.sought(), start=start, stop=stop):
        yield [[str(one["id"]) if name == "id" else one[name] for name in names] for one in found]


async def _users(connection: Connection, filters: UserFilters, start: int, stop: int) -> AsyncIterator[Sequence[Row]]:
    # Member by member as the API answers them: what else an account has, its password's hash above all, is not read.
    names = tuple(UserResponse.model_fields)
    async for found in users_store.numbered(connection, filters.sought(), start=start, stop=stop):
        yield [[fields[name] for name in names] for fields in map(user_fields, found)]
