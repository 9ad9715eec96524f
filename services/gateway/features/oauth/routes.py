"""The token endpoint (RFC 6749, 4.4), introspection (RFC 7662), revocation (RFC 7009) and what describes them."""

from dataclasses import replace
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response

from libs.common.identity import ActorType, Caller
from libs.common.web.body import parse_form
from libs.common.web.errors import Problem
from services.gateway.access.addresses import rate_key
from services.gateway.access.guard import GuardedRoute, public
from services.gateway.access.sessions import AccessControl, client_actor
from services.gateway.features.clients import commands as client_commands
from services.gateway.features.clients.models import Client
from services.gateway.features.clients.schemas import TokenResponse
from services.gateway.features.oauth import commands
from services.gateway.features.oauth.models import (
    InvalidClient,
    TokenRequestRefused,
    check_grant,
    credentials_of,
    introspection,
    server_metadata,
    token_of,
)
from services.gateway.features.oauth.schemas import ACTIVE, DOCUMENT, ERRORS, FORM_TYPE, TOKEN_FORM, TOKEN_REQUEST, form

ERROR_PREFIX = "/api/v1/oauth"
"""Below this path errors have OAuth's own shape."""
CACHED_SECONDS = 300
"""For how long the metadata and the published keys may be cached."""

router = APIRouter(prefix="/oauth", tags=["oauth"], route_class=GuardedRoute)
well_known_router = APIRouter(prefix="/.well-known", tags=["oauth"], route_class=GuardedRoute)

MayAskForToken = Annotated[Caller, Depends(public(action="issue_token", login=True))]
MayIntrospect = Annotated[Caller, Depends(public(action="introspect_token"))]
MayRevokeToken = Annotated[Caller, Depends(public(action="revoke_token", login=True))]
MayReadMetadata = Annotated[Caller, Depends(public(action="view_authorization_server"))]
MayReadKeys = Annotated[Caller, Depends(public(action="view_signing_keys"))]

_CODES = {"invalid_request", "invalid_client", "invalid_grant", "invalid_scope", "unsupported_grant_type"}


@router.post("/token", responses=ERRORS, openapi_extra=form(TOKEN_REQUEST))
async def issue_token(request: Request, response: Response, caller: MayAskForToken) -> TokenResponse:
    """An access token by `client_credentials`; the client authenticates by HTTP Basic or in the form."""
    access: AccessControl = request.app.state.access
    fields = await _fields(request)
    check_grant(fields)
    client = await _client(request, fields)
    scopes = client_commands.granted_scopes(client, fields.get("scope"))
    if scopes is None:
        raise TokenRequestRefused("the client does not hold every scope it asks for", code="invalid_scope")
    request.state.caller = replace(caller, actor=client_actor(client.client_id, frozenset(scopes)))
    request.state.target = f"client/{client.client_id}"
    token = access.tokens.for_client(
        client_id=client.client_id, scope=" ".join(scopes), permission_epoch=client.permission_epoch
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return TokenResponse(access_token=token.text, expires_in=token.expires_in, scope=" ".join(scopes))


@router.post("/introspect", responses={**ERRORS, 200: ACTIVE}, openapi_extra=form(TOKEN_FORM))
async def introspect_token(request: Request, caller: MayIntrospect) -> Response:
    """Whether an access token holds now, and what it says; of any other text only that it is not active.

    The client authenticates with its secret (which counts under the sign-in limit) or with its own access token.
    """
    access: AccessControl = request.app.state.access
    fields = await _fields(request)
    token = token_of(fields)
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        asker = await access.inspect(bearer.strip())
        if asker is None or asker[1].type is not ActorType.CLIENT:
            raise InvalidClient
    else:
        await access.limits.login.take(f"introspect_token:{rate_key(caller.origin.ip_address)}")
        await _client(request, fields)
    found = await access.inspect(token)
    return _json({"active": False} if found is None else introspection(*found), cached="no-store")


@router.post("/revoke", responses=ERRORS, openapi_extra=form(TOKEN_FORM))
async def revoke_token(request: Request, caller: MayRevokeToken) -> Response:
    """Take an access token of one's own back. One that does not hold is no error; another client's is refused."""
    access: AccessControl = request.app.state.access
    fields = await _fields(request)
    token = token_of(fields)
    client = await _client(request, fields)
    found = await access.inspect(token)
    if found is not None:
        claims, _ = found
        if claims.client_id != client.client_id:
            raise TokenRequestRefused("the token was issued to somebody else", code="invalid_grant")
        revoking = replace(caller, actor=client_actor(client.client_id, frozenset(client.scopes)))
        async with access.database.transaction() as session:
            await commands.revoke_token(session, revoking, claims)
        request.state.recorded = True
        access.evict(client_id=client.client_id)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


@well_known_router.get("/oauth-authorization-server", responses={200: DOCUMENT})
async def view_authorization_server(request: Request, caller: MayReadMetadata) -> Response:
    """What this authorization server can do, and where (RFC 8414)."""
    access: AccessControl = request.app.state.access
    return _json(server_metadata(access.tokens.issuer), cached=f"public, max-age={CACHED_SECONDS}")


@well_known_router.get("/jwks.json", responses={200: DOCUMENT})
async def view_signing_keys(request: Request, caller: MayReadKeys) -> Response:
    """The public keys that access tokens are verified with (RFC 7517): the next one, too, before it signs."""
    access: AccessControl = request.app.state.access
    return _json({"keys": access.tokens.published_keys()}, cached=f"public, max-age={CACHED_SECONDS}")


def oauth_shape(problem: Problem) -> tuple[bytes, str]:
    """A problem in OAuth's shape (RFC 6749, 5.2); what OAuth has no code for becomes its nearest."""
    code = str(problem.detail["error"])
    if code not in _CODES:
        code = "temporarily_unavailable" if problem.status in {429, 503} else "invalid_request"
        code = "server_error" if problem.status == 500 else code
    body = {"error": code, "error_description": str(problem.detail["message"])}
    return orjson.dumps(body), "application/json"


async def _fields(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise TokenRequestRefused(f"the body must be {FORM_TYPE}")
    return parse_form(await request.body())


async def _client(request: Request, fields: dict[str, str]) -> Client:
    """The client that the request authenticates. Raises `InvalidClient`."""
    access: AccessControl = request.app.state.access
    given = credentials_of(request.headers.get("authorization"), fields)
    client = await client_commands.authenticate_client(
        access.database, access.passwords, client_id=given.client_id, client_secret=given.client_secret
    )
    if client is None:
        raise InvalidClient
    return client


def _json(body: dict[str, object], *, cached: str) -> Response:
    return Response(orjson.dumps(body), media_type="application/json", headers={"Cache-Control": cached})
