"""Looks at what the services stored, from outside: as the administrator of their database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.support.ledger import Found
from tests.support.processes import SERVICES

PLACES = {
    "setting": ("settings history", "audit of settings"),
    "notification": ("notifications", "audit of notifications"),
    "event": ("audit of events", "notifications by rule"),
    "read": ("audit of reads",),
}
"""By kind of operation, every place where it leaves its mark, once."""

_MARKS = {
    "settings history": "SELECT value #>> '{}' FROM settings.setting_history WHERE key LIKE 'ledger.%' AND step = 'changed'"
    " ORDER BY key, version",
    "audit of settings": "SELECT changes #>> '{value,new}' FROM audit.entries WHERE action = 'update_setting'"
    " AND target_id LIKE 'ledger.%' AND outcome = 'success' ORDER BY sequence",
    "notifications": "SELECT title FROM notifications.notifications WHERE title LIKE 'ledger %' ORDER BY position",
    "audit of notifications": "SELECT details ->> 'title' FROM audit.entries WHERE action = 'create_notification'"
    " AND outcome = 'success' AND details ->> 'title' LIKE 'ledger %' ORDER BY sequence",
    "audit of events": "SELECT event_id FROM audit.entries WHERE source = '/platform/shop' ORDER BY sequence",
    "notifications by rule": "SELECT metadata ->> 'event_id' FROM notifications.notifications"
    " WHERE metadata ->> 'event_source' = '/platform/shop' ORDER BY position",
    "audit of reads": "SELECT request_id FROM audit.entries WHERE request_id LIKE 'ledger-%' AND action = 'view_setting'"
    " AND outcome = 'success'"
    " ORDER BY sequence",
}
_UNSENT = " UNION ALL ".join(
    f"SELECT '{one}: unsent' AS what, count(*) FROM {one}.outbox HAVING count(*) > 0" for one in SERVICES
)
_BEHIND = """
    SELECT format('%s behind %s', consumer, producer) AS what, last - watermark
    FROM (
        SELECT 'audit.events' AS consumer, producer, watermark FROM audit.inbox WHERE consumer = 'audit.events'
        UNION ALL
        SELECT 'notifications.events', producer, watermark FROM notifications.inbox WHERE consumer = 'notifications.events'
    ) AS heard JOIN (
        SELECT 'gateway' AS producer, last FROM gateway.outbox_counter WHERE stream = 'events'
        UNION ALL SELECT 'settings', last FROM settings.outbox_counter WHERE stream = 'events'
        UNION ALL SELECT 'notifications', last FROM notifications.outbox_counter WHERE stream = 'events'
    ) AS told USING (producer) WHERE last <> watermark
"""
_OPEN = (
    "SELECT 'operations open' AS what, count(*) FROM gateway.operations WHERE state = 'accepted' HAVING count(*) > 0"
)


class Observer:
    """One connection of an administrator."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def unfinished(self) -> dict[str, int]:
        """What is still under way; empty once every promise is kept: outboxes, inboxes, operations."""
        rows = await self._connection.fetch(f"{_UNSENT} UNION ALL {_BEHIND} UNION ALL {_OPEN}")
        return {row[0]: row[1] for row in rows}

    async def found(self, run: str) -> Found:
        """Every mark of one run, by place, in the order of its effect."""
        found = {place: await self._connection.fetch(query) for place, query in _MARKS.items()}
        return {place: [row[0] for row in rows if run in row[0]] for place, rows in found.items()}

    async def dead_letters(self, service: str, *, containing: str) -> list[str]:
        """The reasons of a service's dead letters whose message contains a text, oldest first."""
        rows = await self._connection.fetch(
            f"SELECT reason FROM {service}.dead_letters WHERE position($1::bytea IN body) > 0 ORDER BY received_at, id",
            containing.encode(),
        )
        return [row[0] for row in rows]

    async def end_sessions(self, most: int = 1000) -> int:
        """Terminate the sessions of the services in this database; how many."""
        rows = await self._connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'reeve-%' ORDER BY random() LIMIT $1",
            most,
        )
        return len(rows)


@asynccontextmanager
async def observing(admin_url: str) -> AsyncIterator[Observer]:
    """An observer for as long as the block lasts."""
    connection = await asyncpg.connect(admin_url, timeout=10)
    try:
        yield Observer(connection)
    finally:
        await connection.close()
