"""Counts of entries over a range of time, and the values that occur."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from libs.common.database.engine import Session, driver
from libs.common.web.paging import MOST_COUNT
from services.audit.models.tallies import span_of

COUNTED = ("action", "admin_user_id", "target_type", "outcome", "day")
MOST_VALUES = 100
"""Of a column with more values, those that occur most; of days, those of ten years."""
MOST_DAYS = 3_653

_COUNTS = """
    WITH entry_counts AS (
        SELECT action, nullif(admin_user_id, '') AS admin_user_id, nullif(target_type, '') AS target_type, outcome, day,
               count FROM tallies WHERE day >= $1 AND day < $2
        UNION ALL
        SELECT action, admin_user_id, target_type, outcome, (created_at AT TIME ZONE 'UTC')::date, 1
        FROM entries WHERE created_at >= $3 AND created_at < $4
        UNION ALL
        SELECT action, admin_user_id, target_type, outcome, (created_at AT TIME ZONE 'UTC')::date, 1
        FROM entries WHERE created_at >= $5 AND created_at < $6
    ), counted AS (
        SELECT GROUPING(action, admin_user_id, target_type, outcome, day) AS is_left_out,
               coalesce(action, admin_user_id, target_type, outcome, to_char(day, 'YYYY-MM-DD')) AS value,
               sum(count)::bigint AS count
        FROM entry_counts
        GROUP BY GROUPING SETS ((action), (admin_user_id), (target_type), (outcome), (day))
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY is_left_out ORDER BY count DESC, value) AS place FROM counted
        WHERE value IS NOT NULL
    )
    SELECT is_left_out, value, count FROM ranked
    WHERE place <= CASE is_left_out WHEN 30 THEN $8::int ELSE $7::int END ORDER BY is_left_out, place
"""
_LEFT_OUT = {0b01111: "action", 0b10111: "admin_user_id", 0b11011: "target_type", 0b11101: "outcome", 0b11110: "day"}
"""GROUPING sets the bit of each column that a row is not grouped by, the first column's highest."""

Counts = Mapping[str, dict[str, int]]


async def counts(session: Session, *, since: datetime, until: datetime) -> Counts:
    """How many entries there are per value of each column of `COUNTED`; days in order, others by number.

    Whole days cost a few rows of the tallies each, however many entries they have; only their ends are counted out.
    """
    span = span_of(since, until)
    found: dict[str, dict[str, int]] = {column: {} for column in COUNTED}
    values = (span.first, span.end, *span.before, *span.after, MOST_VALUES, MOST_DAYS)
    for row in await driver(session).fetch(_COUNTS, *values):
        found[_LEFT_OUT[row["is_left_out"]]][row["value"]] = row["count"]
    return {**found, "day": dict(sorted(found["day"].items()))}


async def facet_values(session: Session, kind: str, *, most: int) -> Sequence[str]:
    """The first distinct values of a kind of facet, in order."""
    sql = "SELECT value FROM facets WHERE kind = $1 ORDER BY value LIMIT $2"
    return [row["value"] for row in await driver(session).fetch(sql, kind, most)]


async def count_facets(session: Session, kind: str) -> int:
    """How many distinct values there are, counted up to one more than a list says exactly."""
    sql = f"SELECT count(*) FROM (SELECT FROM facets WHERE kind = $1 LIMIT {MOST_COUNT + 1}) AS counted"
    return int(await driver(session).fetchval(sql, kind))
