"""Exports: asked for, looked at, downloaded, ended. Each sees their own."""

import time
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.types import Scope

from libs.common.events.exports import EndExport, StartExport
from libs.common.identity import Actor, Caller
from libs.common.web.paging import Position, counted, decode_cursor, encode_cursor, listing
from libs.common.web.query import query_of
from services.gateway.access.guard import Protected, requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.answers import run_command
from services.gateway.features.exports import commands
from services.gateway.features.exports.models import DownloadLinks, new_export_id
from services.gateway.features.exports.schemas import (
    ExportKeysResponse,
    ExportResponse,
    ExportsResponse,
    StartExportRequest,
)
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import ListQuery, answers, outcomes
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.forward import stream

PATH = "/api/v1/admin/exports"
RESOURCE = "exports"
TARGET = "export/{export_id}"
MOST_LISTED = 201
MOST_LINK_CHARACTERS = 128
_LINK = b"link="

router = APIRouter(prefix="/exports", tags=["exports"], route_class=AdminRoute)


class Linked(Protected):
    """Lets in whoever brings a token, or a download link in its place."""

    async def _authenticate(self, access: AccessControl, scope: Scope, token: bytes | None) -> Actor:
        """The administrator of the link's session, as they are now."""
        parts = [part for part in scope["query_string"].split(b"&") if part.startswith(_LINK)]
        if token is not None or len(parts) != 1:
            return await super()._authenticate(access, scope, token)
        text = parts[0].removeprefix(_LINK)[:MOST_LINK_CHARACTERS].decode("latin-1")
        links: DownloadLinks = scope["app"].state.download_links
        session_id = links.check(text, _named(scope), now=time.time())
        return await access.of_session(session_id)


MayStart = Annotated[Caller, Depends(requires("exports:create", action="start_export"))]
MayList = Annotated[Caller, Depends(requires("exports:read", action="list_exports"))]
MayListKeys = Annotated[Caller, Depends(requires("exports:read", action="list_export_keys"))]
MayView = Annotated[Caller, Depends(requires("exports:read", action="view_export", target=TARGET))]
MayEnd = Annotated[Caller, Depends(requires("exports:create", action="end_export", target=TARGET))]
MayDownload = Annotated[
    Caller,
    Depends(Linked(action="download_export", target=TARGET, permission="exports:read", is_limited=True)),
]


@router.post("", status_code=201, responses=outcomes(ExportResponse, 201))
async def start_export(request: Request, caller: MayStart, body: StartExportRequest) -> Response:
    """Have what the filters find written into a file, in the background; `Location` is where to ask how far it is."""
    source = commands.source_for(body.source, caller.actor)
    export_id = new_export_id(source)
    command = StartExport(
        export_id=str(export_id), source=source.name, format=body.format, compression=body.compression,
        options=body.options(), filters=body.filters, origin=caller.origin,
    )  # fmt: skip
    if source.queue is None:
        own: commands.OwnExports = request.app.state.own_exports
        answer = Response(
            orjson.dumps(await own.start(caller, command)), status_code=201, media_type="application/json"
        )
        request.state.recorded = True
    else:
        answer = await run_command(request, caller, command, subject=f"export/{export_id}", queue=source.queue)
    if answer.status_code == 201:
        answer.headers["Location"] = f"{PATH}/{export_id}"
    return answer


@router.get("", responses=answers(ExportsResponse))
async def list_exports(
    request: Request, caller: MayList, query: Annotated[ListQuery, Depends(query_of(ListQuery))]
) -> Response:
    """Your own exports, newest first. The list member is `exports`."""
    page = query.page()
    key = request.app.state.access.cursors
    bound: dict[str, Any] = {"resource": RESOURCE, "filters": {}, "subject": caller.actor.id}
    before = _place(decode_cursor(key, page.cursor, **bound)) if page.cursor is not None else None
    found, count = await commands.newest(
        _upstream(request), caller, before=before, limit=min(page.skip + page.limit + 1, MOST_LISTED)
    )
    shown = found[page.skip : page.skip + page.limit]
    has_more = len(found) > page.skip + page.limit
    next_cursor = encode_cursor(key, [shown[-1]["id"]], **bound) if shown and has_more else None
    total, exact = counted(count)
    return _json(listing("exports", shown, total=total, exact=exact, page=page, next_cursor=next_cursor))


@router.get("/keys", responses=answers(ExportKeysResponse))
async def list_export_keys(request: Request, caller: MayListKeys) -> Response:
    """The public keys that manifests are signed with."""
    return _json({"keys": await commands.keys(_upstream(request), caller)})


@router.get("/{export_id}", responses=answers(ExportResponse))
async def view_export(request: Request, caller: MayView, export_id: UUID) -> Response:
    """One export: its state, how far it is, and once it has succeeded its manifest and a link to its file."""
    source = commands.source_named(export_id, caller.actor)
    answer = await commands.view(_upstream(request), caller, source, f"/{export_id}")
    if answer.status != 200:
        return Response(answer.body, status_code=answer.status, headers=answer.headers)
    body = orjson.loads(answer.body)
    body["download_url"] = None
    if body["state"] == "succeeded" and caller.actor.session_id is not None:
        links: DownloadLinks = request.app.state.download_links
        link = links.sign(export_id, session_id=caller.actor.session_id, now=time.time())
        body["download_url"] = f"{PATH}/{export_id}/download?link={link}"
    return _json(body)


@router.get("/{export_id}/download")
async def download_export(
    request: Request,
    caller: MayDownload,
    export_id: UUID,
    link: Annotated[
        str | None,
        Query(max_length=MOST_LINK_CHARACTERS, description="As in `download_url`; stands in for a token."),
    ] = None,
) -> Response:
    """The file as an attachment; `Range` goes on where an earlier download stopped. Its `ETag` is its SHA-256."""
    del link  # The door has looked at it.
    source = commands.source_named(export_id, caller.actor)
    return stream(
        request, caller, service=source.service, path=f"{source.path}/{export_id}/download",
        permission=source.permission,
    )  # fmt: skip


@router.delete("/{export_id}", status_code=204, responses=outcomes(None))
async def end_export(request: Request, caller: MayEnd, export_id: UUID) -> Response:
    """Cancel an export that waits or runs; take the file of a finished one away. Doing it again changes nothing."""
    source = commands.source_named(export_id, caller.actor)
    command = EndExport(export_id=str(export_id), source=source.name, origin=caller.origin)
    if source.queue is None:
        own: commands.OwnExports = request.app.state.own_exports
        await own.end(caller, command)
        request.state.recorded = True
        return Response(status_code=204)
    return await run_command(request, caller, command, subject=f"export/{export_id}", queue=source.queue)


def _named(scope: Scope) -> UUID:
    try:
        return UUID(str(scope["path_params"]["export_id"]))
    except ValueError:
        return UUID(int=0)


def _place(position: list[Position]) -> UUID:
    return UUID(str(position[0]))


def _upstream(request: Request) -> Upstream:
    upstream: Upstream = request.app.state.upstream
    return upstream


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
