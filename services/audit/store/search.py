"""Finding entries: filters, keyset pages in the order of time, capped counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.database.engine import Session, driver
from libs.common.events.requests import OperationAccepted, RequestRecorded
from libs.common.web.paging import MOST_COUNT
from services.audit.models.entries import OUTCOMES, SEVERITIES, UNDOES
from services.audit.models.leaves import sequence_of
from services.audit.models.words import Group

SHOWN = (
    "id::text AS id", "sequence", "event_id", "event_type", "action", "target_type", "target_id", "admin_user_id",
    "admin_username", "actor_type", "outcome", "severity", "details::text AS details", "changes::text AS changes",
    "host(ip_address) AS ip_address", "user_agent", "request_id", "operation_id", "trace_id", "source", "created_at",
    "recorded_at", "redactions::text AS redactions",
)  # fmt: skip
EXACT = ("action", "target_type", "target_id", "admin_user_id", "source", "request_id", "operation_id")
CLOSED: Mapping[str, Sequence[str]] = {"outcome": OUTCOMES, "severity": SEVERITIES}
"""Columns with few values, each a constant in the statement: an index of only the rare ones is not used otherwise."""
_COLUMNS = f"SELECT {', '.join(SHOWN)} FROM"
_SELECT = f"{_COLUMNS} entries"
_TYPES = "SELECT value FROM facets WHERE kind = 'target_type'"
_OF_ANY_TYPE = f"target_type = ANY(ARRAY({_TYPES}))"

_NO_DEEDS = [OperationAccepted.TYPE, RequestRecorded.TYPE]
"""What was asked for, and not what came of it."""

Addresses = tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]
"""The first and the last address of a network."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is sought; several values of one name mean any of them. `groups` None seeks no words, empty finds nothing."""

    exact: Mapping[str, Sequence[str]] = field(default_factory=dict)
    networks: Sequence[Addresses] = ()
    date_from: datetime | None = None
    date_to: datetime | None = None
    groups: Sequence[Group] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after this entry in the order of time."""

    created_at: datetime
    sequence: int


async def search(
    session: Session, filters: Filters, *, newest_first: bool, after: Place | None, skip: int, limit: int
) -> list[asyncpg.Record]:
    """A page of entries as records of `SHOWN`."""
    where, values = conditions(filters)
    is_all = not where
    if after is not None:
        values += [after.created_at, after.sequence]
        where.append(f"(created_at, sequence) {'<' if newest_first else '>'} (${len(values) - 1}, ${len(values)})")
    direction = "DESC" if newest_first else "ASC"
    order = f"ORDER BY created_at {direction}, sequence {direction}"
    if is_all and not skip:
        # A plan that knows its limit is kept: planning over all partitions takes longer than reading a page of them.
        return list(await driver(session).fetch(f"{_SELECT}{clause(where)} {order} LIMIT {limit:d}", *values))
    # With the limit unknown Postgres plans each time, for these very values: what suits a common word ruins a rare one.
    values += [limit, skip]
    most, skipped = f"${len(values) - 1}::int", f"${len(values)}::int"
    found = f"entries{clause(where)}"
    if _is_id_alone(filters):
        # The index has each type's entries in the order of time, and those of all types in none: a page of each, merged.
        of_type = ["target_type = types.value" if one is _OF_ANY_TYPE else one for one in where]
        page = f"SELECT * FROM entries{clause(of_type)} {order} LIMIT {most} + {skipped}"
        found = f"({_TYPES}) AS types CROSS JOIN LATERAL ({page}) AS entries"
    return list(await driver(session).fetch(f"{_COLUMNS} {found} {order} LIMIT {most} OFFSET {skipped}", *values))


async def count(session: Session, filters: Filters) -> int:
    """How many entries fit, counted up to one more than a list says exactly."""
    where, values = conditions(filters)
    sql = f"SELECT count(*) FROM (SELECT FROM entries{clause(where)} LIMIT {MOST_COUNT + 1}) AS counted"
    return int(await driver(session).fetchval(sql, *values))


async def find(session: Session, entry_id: UUID) -> asyncpg.Record | None:
    """One entry as a record of `SHOWN`, or None."""
    return await driver(session).fetchrow(f"{_SELECT} WHERE sequence = $1 AND id = $2", sequence_of(entry_id), entry_id)


async def find_undoing(session: Session, entry: asyncpg.Record) -> str | None:
    """The id of the entry that tells of the undoing of another: of the same target, later, and done."""
    if entry["target_type"] is None or entry["target_id"] is None:
        return None
    found = await driver(session).fetchval(
        "SELECT id::text FROM entries WHERE target_type = $1 AND target_id = $2 AND sequence > $3 AND outcome = 'success'"
        f" AND event_type <> ALL($4::text[]) AND words @@ $5::text::tsquery AND details ->> '{UNDOES}' = $6"
        " ORDER BY sequence LIMIT 1",
        entry["target_type"], entry["target_id"], entry["sequence"], _NO_DEEDS, _lexeme(True, entry["id"]), entry["id"],
    )  # fmt: skip
    return str(found) if found is not None else None


def conditions(filters: Filters) -> tuple[list[str], list[Any]]:
    """The conditions of a WHERE clause, and the values of their parameters."""
    where: list[str] = []
    values: list[Any] = []
    for name, wanted in filters.exact.items():
        where.append(_is_any_of(name, wanted, values))
    if _is_id_alone(filters):
        # The index begins with the type: all types there are, so that an id alone finds its entries through it.
        where.append(_OF_ANY_TYPE)
    if filters.networks:
        ranges = []
        for first, last in filters.networks:
            values += [first, last]
            ranges.append(f"ip_address BETWEEN ${len(values) - 1} AND ${len(values)}")
        where.append(f"({' OR '.join(ranges)})")
    for operator, moment in ((">=", filters.date_from), ("<", filters.date_to)):
        if moment is not None:
            values.append(moment)
            where.append(f"created_at {operator} ${len(values)}")
    if filters.groups is not None:
        values.append(tsquery(filters.groups))
        where.append(f"words @@ ${len(values)}::text::tsquery")
    return where, values


def _is_id_alone(filters: Filters) -> bool:
    return "target_id" in filters.exact and "target_type" not in filters.exact


def clause(where: Sequence[str]) -> str:
    """The WHERE clause of all of them; nothing for none."""
    return f" WHERE {' AND '.join(where)}" if where else ""


def tsquery(groups: Sequence[Group]) -> str:
    """The text of a tsquery. Words hold no quotes and no backslashes: letters, digits and `._@:-` alone."""
    return " | ".join(f"({' & '.join(_lexeme(*term) for term in group)})" for group in groups)


def _lexeme(is_wanted: bool, word: str) -> str:
    return f"'{word}'" if is_wanted else f"!'{word}'"


def _is_any_of(name: str, wanted: Sequence[str], values: list[Any]) -> str:
    if name in CLOSED:
        constants = ", ".join(f"'{value}'" for value in CLOSED[name] if value in wanted)
        return f"{name} IN ({constants})"
    if len(wanted) == 1:
        values.append(wanted[0])
        return f"{name} = ${len(values)}"
    values.append(list(wanted))
    return f"{name} = ANY(${len(values)}::text[])"
