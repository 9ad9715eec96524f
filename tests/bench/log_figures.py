"""The audit log at size: what a search costs by kind of filter, a far page beside the first, and what more rows cost.

The rows are made by Postgres itself, spread over a year's partitions; only the searches are measured, one after the
other, each with the count that its list shows.
"""

import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

import asyncpg

from libs.common.database.engine import Connection
from services.audit.models.words import query_of
from services.audit.store.search import Filters, Place, count, search
from tests.support.postgres import PlatformDatabase, PlatformDatabases

PAGE = 50
FAR_PAGE = 10_000
TRIES = 100
POINTS = 4
CHUNK = 100_000
DAYS = 365
_BORN = datetime.now(UTC) - timedelta(days=DAYS)

# Forty actions, two hundred administrators and five thousand settings, each independent of the others; one in a hundred
# denied, one in two hundred a warning.
_FILL = """
    INSERT INTO audit.entries (
        sequence, recorded_at, id, event_id, event_type, action, target_type, target_id, admin_user_id, admin_username,
        actor_type, outcome, severity, details, ip_address, user_agent, request_id, source, producer, producer_seq,
        created_at, words)
    SELECT n, moment, gen_random_uuid(), 'event-' || n, 'reeve.request.recorded.v1', 'action_' || action,
        CASE n % 3 WHEN 0 THEN 'setting' WHEN 1 THEN 'user' ELSE 'alert' END, 'key_' || key, 'admin-' || admin,
        'admin' || admin || '@example.com', 'admin', CASE WHEN n % 100 = 7 THEN 'denied' ELSE 'success' END,
        CASE WHEN n % 200 = 9 THEN 'warning' ELSE 'info' END,
        json_build_object('method', 'GET', 'path', '/api/v1/admin/settings/key_' || key, 'status', 200),
        ('192.0.' || admin || '.' || action)::inet, 'Mozilla/5.0', 'request-' || n,
        CASE WHEN n % 10 = 0 THEN '/platform/shop' ELSE '/reeve/gateway' END, 'gateway', n, moment,
        array_to_tsvector(ARRAY['action_' || action, 'key_' || key, 'admin' || admin, 'order' || n, 'settings', 'reeve'])
    FROM (
        SELECT n, $3::timestamptz + n * $4::interval AS moment, (hashint8(n) & 65535) % 40 AS action,
            (hashint8(n + 1000000007) & 65535) % 200 AS admin, (hashint8(n + 2000000011) & 65535) % 5000 AS key
        FROM generate_series($1::bigint, $2::bigint - 1) AS n
    ) AS numbered
"""


async def log_figures(admin_url: str, *, rows: int) -> dict[str, Any]:
    """Milliseconds by kind of filter at `rows` entries, the far page's ratio, and a curve over four sizes."""
    databases = PlatformDatabases(admin_url)
    try:
        platform = await databases.make("audit")
        connection = await asyncpg.connect(platform.admin_url, timeout=10)
        try:
            await _make_months(connection)
            curve = []
            for point in range(POINTS):
                first, end = rows * point // POINTS, rows * (point + 1) // POINTS
                seconds = await _fill(connection, first, end, rows)
                found = await _measured(platform, end, rows)
                curve.append({
                    "rows": end, "fill_per_second": round((end - first) / seconds),
                    "worst_p99_ms": max(one["p99_ms"] for one in found["filters"].values()),
                    "first_page_ms": found["first_page_ms"],
                })  # fmt: skip
        finally:
            await connection.close()
        await databases.give_back(platform)
        return {"rows": rows, **found, "curve": curve}
    finally:
        await databases.close()


async def _make_months(connection: Connection) -> None:
    """The partitions of the past year, as they would be there."""
    month = _BORN.date().replace(day=1)
    while month < datetime.now(UTC).date().replace(day=1):
        after = (month + timedelta(days=32)).replace(day=1)
        await connection.execute(
            f"CREATE TABLE audit.entries_{month:%Y_%m} PARTITION OF audit.entries"
            f" FOR VALUES FROM ('{month}T00:00:00Z') TO ('{after}T00:00:00Z')"
        )
        month = after


async def _fill(connection: Connection, first: int, end: int, rows: int) -> float:
    """Seconds that Postgres took to make and store these entries."""
    step = timedelta(days=DAYS) / rows
    started = time.perf_counter()
    for begin in range(first, end, CHUNK):
        await connection.execute(_FILL, begin, min(begin + CHUNK, end), _BORN, step, timeout=600)
    seconds = time.perf_counter() - started
    await connection.execute(
        "INSERT INTO audit.facets (kind, value) VALUES ('target_type', 'setting'), ('target_type', 'user'), ('target_type', 'alert')"
        " ON CONFLICT DO NOTHING"
    )
    await connection.execute("VACUUM ANALYZE audit.entries", timeout=1200)
    return seconds


async def _measured(platform: PlatformDatabase, end: int, rows: int) -> dict[str, Any]:
    database = platform.database("audit")
    draw = random.Random(1)
    try:
        async with database.direct() as session:
            filters = {
                name: await _timed(lambda make=make: _list(session, make(draw.randrange(end))))  # type: ignore[misc]
                for name, make in KINDS.items()
            }
            far = await _place_of(session, end)
            first_page = await _timed(
                lambda: search(session, Filters(), newest_first=True, after=None, skip=0, limit=PAGE)
            )
            far_page = await _timed(
                lambda: search(session, Filters(), newest_first=True, after=far, skip=0, limit=PAGE)
            )
    finally:
        await database.close()
    return {
        "filters": filters, "first_page_ms": first_page["p50_ms"], "far_page_ms": far_page["p50_ms"],
        "far_page": min(FAR_PAGE, end // PAGE - 1), "far_ratio": round(far_page["p50_ms"] / first_page["p50_ms"], 2),
    }  # fmt: skip


KINDS: Mapping[str, Callable[[int], Filters]] = {
    "none": lambda n: Filters(),
    "action": lambda n: Filters({"action": [f"action_{n % 40}"]}),
    "admin": lambda n: Filters({"admin_user_id": [f"admin-{n % 200}"]}),
    "target": lambda n: Filters({"target_type": ["setting"], "target_id": [f"key_{n % 5000}"]}),
    "target id alone": lambda n: Filters({"target_id": [f"key_{n % 5000}"]}),
    "outcome": lambda n: Filters({"outcome": ["denied"]}),
    "severity": lambda n: Filters({"severity": ["warning", "critical"]}),
    "source": lambda n: Filters({"source": ["/platform/shop"]}),
    "request": lambda n: Filters({"request_id": [f"request-{n}"]}),
    "address": lambda n: Filters(networks=[(IPv4Address(f"192.0.{n % 200}.0"), IPv4Address(f"192.0.{n % 200}.255"))]),
    "time": lambda n: Filters(date_from=_BORN + timedelta(days=n % 300), date_to=_BORN + timedelta(days=n % 300 + 7)),
    "rare word": lambda n: Filters(groups=query_of(f"order{n}")),
    "common word": lambda n: Filters(groups=query_of("settings")),
    "two words": lambda n: Filters(groups=query_of(f"action_{n % 40} admin{n % 200}")),
    "admin and action": lambda n: Filters({"admin_user_id": [f"admin-{n % 200}"], "action": [f"action_{n % 40}"]}),
}  # fmt: skip


async def _list(session: Connection, filters: Filters) -> None:
    """What a list costs: a page, and how many there are."""
    await search(session, filters, newest_first=True, after=None, skip=0, limit=PAGE)
    await count(session, filters)


async def _place_of(session: Connection, end: int) -> Place:
    """Where the far page begins: the last entry of the page before it."""
    sequence = end - PAGE * min(FAR_PAGE, end // PAGE - 1)
    row = await session.fetchrow("SELECT created_at, sequence FROM entries WHERE sequence = $1", sequence)
    return Place(row["created_at"], row["sequence"])


async def _timed(call: Callable[[], Awaitable[object]]) -> dict[str, float]:
    took = []
    for turn in range(TRIES + 5):
        started = time.perf_counter()
        await call()
        if turn >= 5:
            took.append((time.perf_counter() - started) * 1000)
    took.sort()
    return {"p50_ms": round(statistics.median(took), 2), "p99_ms": round(took[int(TRIES * 0.99) - 1], 2)}
