"""Asks the services for exports: which one by the export's id, and only where the caller may export the source."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from libs.common.errors import Invalid, NotFound, Unavailable
from libs.common.identity import Actor, Caller
from libs.common.web.paging import MOST_COUNT
from services.gateway.access.grants import permission_required
from services.gateway.features.exports.models import SOURCES, ExportSource, find_source, source_of
from services.gateway.upstream.client import Answer, Upstream


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
