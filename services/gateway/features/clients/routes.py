"""Platform services as OAuth clients."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import SecretStr

from libs.common.identity import Caller
from libs.common.ids import new_id
from libs.common.web.paging import Paging, counted, decode_cursor, encode_cursor
from services.gateway.access import passwords
from services.gateway.access.guard import FRESH_SECONDS, requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.clients import commands, store
from services.gateway.features.clients.models import Registration
from services.gateway.features.clients.schemas import (
    ClientResponse,
    ClientsResponse,
    RegisterClientRequest,
    RegisteredClientResponse,
)
from services.gateway.features.route import AdminRoute

router = APIRouter(prefix="/clients", tags=["clients"], route_class=AdminRoute)

MayList = Annotated[Caller, Depends(requires("roles:write", action="list_clients"))]
MayRead = Annotated[Caller, Depends(requires("roles:write", action="view_client", target="client/{id}"))]
MayRegister = Annotated[Caller, Depends(requires("roles:write", action="register_client", fresh_seconds=FRESH_SECONDS))]
MayDelete = Annotated[Caller, Depends(requires("roles:write", action="delete_client", target="client/{id}"))]


@router.get("")
async def list_clients(request: Request, caller: MayList, page: Paging) -> ClientsResponse:
    """Registered clients, newest first."""
    access: AccessControl = request.app.state.access
    before = None
    if page.cursor is not None:
        before = str(decode_cursor(access.cursors, page.cursor, resource="clients", filters={})[0])
    async with access.database.reading() as session:
        clients, count = await store.search(session, before=before, skip=page.skip, limit=page.limit + 1)
    shown = clients[: page.limit]
    more = len(clients) > page.limit
    total, is_exact = counted(count)
    return ClientsResponse(
        clients=[ClientResponse.of(client) for client in shown],
        total=total,
        total_is_exact=is_exact,
        skip=page.skip,
        limit=page.limit,
        next_cursor=encode_cursor(access.cursors, [shown[-1].id], resource="clients", filters={}) if more else None,
    )


@router.post("", status_code=201)
async def register_client(
    request: Request, response: Response, caller: MayRegister, body: RegisterClientRequest
) -> RegisteredClientResponse:
    """Register a platform service. Its secret is in this answer and in no other."""
    access: AccessControl = request.app.state.access
    secret = passwords.generated()
    new = Registration(
        client_id=body.client_id or new_client_id(body.name),
        client_secret=SecretStr(secret),
        name=body.name,
        scopes=body.scopes,
        source=body.source,
        event_types=body.event_types,
    )
    secret_hash = await access.passwords.hash(secret)
    async with access.database.transaction() as session:
        client = await commands.register_client(session, caller, new, secret_hash=secret_hash)
    request.state.recorded = True
    access.evict(client_id=client.client_id)
    response.headers["Location"] = f"/api/v1/admin/clients/{client.id}"
    return RegisteredClientResponse.with_secret(client, secret)


@router.get("/{id}")
async def view_client(request: Request, caller: MayRead, id: UUID) -> ClientResponse:  # noqa: A002 - the path's name
    """One registered client."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        return ClientResponse.of(await store.get(session, str(id)))


@router.delete("/{id}", status_code=204)
async def delete_client(request: Request, caller: MayDelete, id: UUID) -> Response:  # noqa: A002 - the path's name
    """Forget a client. Its tokens stop working, and its events are refused."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        gone = await commands.delete_client(session, caller, str(id))
    request.state.recorded = True
    access.evict(client_id=gone.client_id)
    return Response(status_code=204)


def new_client_id(name: str) -> str:
    """A client id that a person recognizes and nobody else has."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "client"
    return f"{readable}-{new_id()[-12:]}"
