"""The schemas that platforms registered for their own types, as a process judges by them.

Judging a type without a schema costs one look-up. What is held here is as old as the last `refresh`, which reads only what
changed since: so a judge calls it before it judges, and it asks the database once in `seconds` at most, or at once after
`forget`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from libs.common.events.envelope import Event
from libs.common.json_schema.check import broken_rule
from libs.common.json_schema.shape import Schema

FRESH_SECONDS = 1.0
"""For how long what was read is judged by without asking again."""


class Kept(NamedTuple):
    """One registered type as a table has it: `json_schema` is a JSON text, None once the type is deleted."""

    event_type: str
    version: int
    revision: int
    json_schema: str | None


class Registered(NamedTuple):
    """The schema that holds for a type."""

    version: int
    schema: Schema


ReadRevisions = Callable[[], Awaitable[Mapping[str, int]]]
"""The revision of each type that the table has, deleted ones included."""
ReadKept = Callable[[Sequence[str]], Awaitable[Sequence[Kept]]]


class SchemaBook:
    """The registered schemas of one process. Bounded by what the table may hold."""

    def __init__(
        self,
        revisions: ReadRevisions,
        kept: ReadKept,
        *,
        seconds: float = FRESH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_revisions = revisions
        self._read_kept = kept
        self._seconds = seconds
        self._clock = clock
        self._revisions: dict[str, int] = {}
        self._schemas: dict[str, Registered] = {}
        self._fresh_until = float("-inf")
        self._forgotten = 0
        self._reading = asyncio.Lock()

    def forget(self) -> None:
        """Something changed: the next `refresh` reads, also where one is under way, which may be too early."""
        self._forgotten += 1
        self._fresh_until = float("-inf")

    async def refresh(self) -> None:
        """Be no older than `seconds`. Raises what reading raises, and judges by what was read before then."""
        if self._clock() < self._fresh_until:
            return
        async with self._reading:
            if self._clock() < self._fresh_until:
                return
            began, forgotten = self._clock(), self._forgotten
            await self._read()
            if forgotten == self._forgotten:
                self._fresh_until = began + self._seconds

    def misfit(self, event: Event) -> str | None:
        """Why the event does not fit the schema of its type, and which version says so; None without a schema, too."""
        found = self._schemas.get(event.type)
        return None if found is None else misfit(event, found)

    async def _read(self) -> None:
        revisions = await self._read_revisions()
        changed = [name for name, revision in revisions.items() if self._revisions.get(name) != revision]
        kept = await self._read_kept(changed) if changed else ()
        for name in {*changed, *self._schemas.keys() - revisions.keys()}:
            self._schemas.pop(name, None)
        self._schemas |= {one.event_type: found for one in kept if (found := registered_of(one)) is not None}
        # A row that changed between the two reads counts by what the second one saw.
        self._revisions = {name: revision for name, revision in revisions.items() if name not in changed}
        self._revisions |= {one.event_type: one.revision for one in kept}


def registered_of(kept: Kept) -> Registered | None:
    """The schema of a type as it is judged by; None for one that is deleted."""
    return None if kept.json_schema is None else Registered(kept.version, orjson.loads(kept.json_schema))


def misfit(event: Event, registered: Registered) -> str | None:
    """Why the event's data does not fit; None when it does. Says nothing of the data but the place."""
    data: Any = event.data
    broken = broken_rule(data, registered.schema)
    return None if broken is None else f"{broken} (version {registered.version} of {event.type})"
