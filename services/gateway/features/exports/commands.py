"""Asks for exports: which service by the export's id, and only where the caller may export the source.

Exports of the gateway's own sources are begun and ended here, in one transaction with their events.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import orjson

from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Invalid, NotFound, Unavailable
from libs.common.events.catalog import CommandData
from libs.common.events.envelope import Event
from libs.common.events.exports import EndExport, StartExport
from libs.common.exports.commands import ExportCommands
from libs.common.identity import Actor, Caller
from libs.common.web.paging import MOST_COUNT
from services.gateway.access.grants import permission_required
from services.gateway.features.exports.models import SOURCES, ExportSource, find_source, source_of
from services.gateway.journal import command_event
from services.gateway.upstream.client import Answer, Upstream


class OwnExports:
    """The jobs of the gateway's own sources."""

    def __init__(self, database: Database, jobs: ExportCommands) -> None:
        self._database = database
        self._jobs = jobs

    async def start(self, caller: Caller, asked: StartExport) -> dict[str, Any]:
        """A job that waits, as the API answers it. Raises 422 for a question that cannot be asked, 409 for one too many."""
        outcome = await self._apply(self._jobs.start_export, caller, asked, export_id=asked.export_id)
        body: dict[str, Any] = outcome.data["result"]
        return body

    async def end(self, caller: Caller, asked: EndExport) -> None:
        """Cancel a job, or let its file be gone. Raises 404 for one that is not the caller's."""
        await self._apply(self._jobs.end_export, caller, asked, export_id=asked.export_id)

    async def _apply(
        self,
        handler: Callable[[Session, Event], Awaitable[Event]],
        caller: Caller,
        asked: CommandData,
        *,
        export_id: str,
    ) -> Event:
        command = command_event(asked, subject=f"export/{export_id}", caller=caller)
        async with self._database.transaction() as session:
            # There is no operation that could be asked for: it is done when it is answered.
            outcome = (await handler(session, command))._replace(causationid=None)
            await outbox.emit(session, outcome)
        return outcome


def source_for(name: str, actor: Actor) -> ExportSource:
    """The source of this name. Raises 422 `unknown_source`, and 403 where the caller may not export it."""
    source = find_source(name)
    if source is None:
        known = ", ".join(one.name for one in SOURCES)
        raise Invalid(f"source must be one of {known}, got {name[:64]}", code="unknown_source")
    return _allowed(source, actor)


def source_named(export_id: UUID, actor: Actor) -> ExportSource:
    """The source that an id names. Raises 404 where it names none, and 403 where the caller may not export it."""
    source = source_of(export_id)
    if source is None:
        raise NotFound(f"no export {export_id}", code="export_not_found")
    return _allowed(source, actor)


async def view(upstream: Upstream, caller: Caller, source: ExportSource, path: str, query: str = "") -> Answer:
    """What the service says at `path` of a source's exports."""
    return await upstream.read(
        source.service, f"{source.path}{path}", query, caller=caller, permission=source.permission
    )


async def newest(
    upstream: Upstream, caller: Caller, *, before: UUID | None, limit: int
) -> tuple[list[dict[str, Any]], int]:
    """The caller's exports of all sources that they may export, newest first, at most `limit`; and how many there are.

    Ids sort by time, so the newest of all are among the newest of each.
    """
    query = f"limit={limit}" + (f"&before={before}" if before else "")
    found: list[dict[str, Any]] = []
    total = 0
    for source in _of(caller.actor):
        body = _body(await view(upstream, caller, source, "", query))
        found += body["exports"]
        total += body["total"]
    found.sort(key=lambda one: str(one["id"]), reverse=True)
    return found[:limit], min(total, MOST_COUNT + 1)


async def keys(upstream: Upstream, caller: Caller) -> list[dict[str, Any]]:
    """The keys of the manifests of all sources that the caller may export."""
    found: dict[str, dict[str, Any]] = {}
    for source in _of(caller.actor):
        found |= {key["kid"]: key for key in _body(await view(upstream, caller, source, "/keys"))["keys"]}
    return list(found.values())


def _of(actor: Actor) -> Sequence[ExportSource]:
    return [source for source in SOURCES if actor.may(source.permission)]


def _allowed(source: ExportSource, actor: Actor) -> ExportSource:
    if not actor.may(source.permission):
        raise permission_required(source.permission, actor)
    return source


def _body(answer: Answer) -> dict[str, Any]:
    if answer.status != 200:
        raise Unavailable("a service does not answer", code="upstream_unavailable")
    body: dict[str, Any] = orjson.loads(answer.body)
    return body
