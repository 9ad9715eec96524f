"""The token endpoint (RFC 6749, 4.4): access tokens for platform services."""

from dataclasses import replace
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response

from libs.common.identity import Caller
from libs.common.web.body import parse_form
from libs.common.web.errors import Problem
from services.gateway.access.guard import GuardedRoute, public
from services.gateway.access.sessions import AccessControl, client_actor
from services.gateway.features.clients import commands
from services.gateway.features.clients.schemas import TokenResponse
from services.gateway.features.oauth.models import (
    InvalidClient,
    TokenRequestRefused,
    check_grant,
    credentials_of,
)

ERROR_PREFIX = "/api/v1/oauth"
"""Below this path errors have OAuth's own shape."""

router = APIRouter(prefix="/oauth", tags=["oauth"], route_class=GuardedRoute)

MayAskForToken = Annotated[Caller, Depends(public(action="issue_token", login=True))]

_FORM = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"type": "string", "enum": ["client_credentials"]},
        "scope": {"type": "string", "description": "Some of the client's scopes, separated by spaces; default all."},
        "client_id": {"type": "string", "maxLength": 256},
        "client_secret": {"type": "string", "maxLength": 256, "format": "password"},
    },
}
_ERROR = {
    "description": "An error in OAuth's own shape",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
            }
        }
    },
}


@router.post(
    "/token",
    responses={400: _ERROR, 401: _ERROR, "default": _ERROR},
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": _FORM}}}
    },
)
async def issue_token(request: Request, response: Response, caller: MayAskForToken) -> TokenResponse:
    """An access token by `client_credentials`; the client authenticates by HTTP Basic or in the form."""
    access: AccessControl = request.app.state.access
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise TokenRequestRefused("the body must be application/x-www-form-urlencoded")
    fields = parse_form(await request.body())
    check_grant(fields)
    given = credentials_of(request.headers.get("authorization"), fields)
    client = await commands.authenticate_client(
        access.database, access.passwords, client_id=given.client_id, client_secret=given.client_secret
    )
    if client is None:
        raise InvalidClient
    scopes = commands.granted_scopes(client, fields.get("scope"))
    if scopes is None:
        raise TokenRequestRefused("the client does not hold every scope it asks for", code="invalid_scope")
    request.state.caller = replace(caller, actor=client_actor(client.client_id, frozenset(scopes)))
    request.state.target = f"client/{client.client_id}"
    token = access.tokens.for_client(client_id=client.client_id, scope=" ".join(scopes))
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return TokenResponse(access_token=token.text, expires_in=token.expires_in, scope=" ".join(scopes))


def oauth_shape(problem: Problem) -> tuple[bytes, str]:
    """A problem in OAuth's shape (RFC 6749, 5.2); what OAuth has no code for becomes its nearest."""
    code = str(problem.detail["error"])
    if code not in {"invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"}:
        code = "temporarily_unavailable" if problem.status in {429, 503} else "invalid_request"
        code = "server_error" if problem.status == 500 else code
    body = {"error": code, "error_description": str(problem.detail["message"])}
    return orjson.dumps(body), "application/json"
