"""Signing in at the OpenID Provider of the configuration, and its word that somebody signed out there."""

import secrets
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from libs.common import logs
from libs.common.errors import BadRequest, Conflict, Forbidden, NotFound, ReeveError, Unauthenticated, Unavailable
from libs.common.identity import Caller
from libs.common.web.body import parse_form
from libs.common.web.query import query_of
from services.gateway.access.browser_cookies import values_of
from services.gateway.access.guard import GuardedRoute, public
from services.gateway.access.issuers.models import BadToken, IssuerUnavailable
from services.gateway.access.sessions import AccessControl
from services.gateway.features.auth.commands import record_failure
from services.gateway.features.auth.models import Browser
from services.gateway.features.auth.routes import browser_of, browser_response, new_cookie, tokens_response
from services.gateway.features.auth.schemas import BrowserSessionResponse, TokensResponse
from services.gateway.features.oidc import commands
from services.gateway.features.oidc.commands import Came, Outcome, SignInElsewhere
from services.gateway.features.oidc.models import (
    COOKIE,
    SECRET_BYTES,
    STATE_SECONDS,
    FailureReason,
    begin,
    kept_value,
    wish_of,
)
from services.gateway.features.oidc.schemas import CallbackQuery, SetOutQuery

router = APIRouter(prefix="/auth/oidc", tags=["auth"], route_class=GuardedRoute)

MaySetOut = Annotated[Caller, Depends(public(action="begin_sign_in", login=True, admins=True))]
MaySignIn = Annotated[Caller, Depends(public(action="sign_in", login=True, admins=True))]
MayEndSessions = Annotated[Caller, Depends(public(action="end_session"))]
SetOut = Annotated[SetOutQuery, Depends(query_of(SetOutQuery))]
Callback = Annotated[CallbackQuery, Depends(query_of(CallbackQuery))]

UNKEPT = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
"""What travels here belongs in no cache, and in no other site's log."""
_SENT_ON: dict[int | str, dict[str, object]] = {303: {"description": "On to `return_to`, with the session's cookie."}}
_FORM = {
    "type": "object",
    "required": ["logout_token"],
    "properties": {"logout_token": {"type": "string", "maxLength": 8192}},
}

log = logs.get("oidc")


@router.get("/login", status_code=303, response_class=Response)
async def begin_sign_in(request: Request, caller: MaySetOut, asked: SetOut) -> Response:
    """Sends the browser to the OpenID Provider. 404 `oidc_not_configured` where there is none."""
    provider = _provider(request)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    kept = kept_value(secret, by_cookie=asked.session is not None, return_to=asked.return_to)
    attempt = begin(provider.key, kept, now=time.time(), random=secrets.token_bytes(16))
    try:
        url = await provider.party.authorization_url(
            state=attempt.state, nonce=attempt.nonce, challenge=attempt.challenge
        )
    except IssuerUnavailable as error:
        raise _unavailable(error) from error
    return Response(status_code=303, headers={"Location": url, "Set-Cookie": _cookie(kept), **UNKEPT})


@router.get("/callback", response_model=TokensResponse | BrowserSessionResponse, responses=_SENT_ON)
async def finish_sign_in(
    request: Request, response: Response, caller: MaySignIn, answer: Callback
) -> TokensResponse | BrowserSessionResponse | Response:
    """Where the provider sends the browser back to: the tokens of a new session, or its cookie, as a sign-in by
    password answers them. A browser that set out with `return_to` is sent there.

    It works once, within ten minutes, and only in the browser that set out.
    """
    access: AccessControl = request.app.state.access
    provider = _provider(request)
    found = values_of(request.scope, COOKIE)
    # Two of them: one was planted by a sibling host, and nobody knows which.
    kept = found[0] if len(found) == 1 else None
    try:
        came = await commands.come_back(provider, access.database, cookie=kept, answer=answer)
    except IssuerUnavailable as error:
        raise _unavailable(error) from error
    wish = wish_of(kept) if kept is not None and isinstance(came, Came) else None
    browser = browser_of(access, request) if wish is not None else None
    outcome = await _sign_in(access, caller, came, issuer=provider.party.issuer.url, browser=browser)
    request.state.recorded = True
    if outcome.user is None or outcome.started is None:
        raise _refused(outcome.failure or "inactive")
    access.evict(user_id=outcome.user.id)
    if wish is not None and wish.return_to is not None:
        response = Response(status_code=303, headers={"Location": wish.return_to})
    response.headers.update(UNKEPT)
    response.headers.append("Set-Cookie", _cookie("", seconds=0))
    if wish is None:
        return tokens_response(access, outcome.started, outcome.user)
    response.headers.append("Set-Cookie", new_cookie(access, outcome.started, role=outcome.user.role))
    return response if response.status_code == 303 else browser_response(outcome.started, outcome.user)


@router.post(
    "/backchannel-logout",
    status_code=200,
    response_class=Response,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": _FORM}}}
    },
)
async def end_sessions_by_provider(request: Request, caller: MayEndSessions) -> Response:
    """The provider's word that somebody signed out there (OpenID Connect Back-Channel Logout 1.0): their sessions end."""
    access: AccessControl = request.app.state.access
    party = _provider(request).party
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise BadRequest("the body must be application/x-www-form-urlencoded", code="invalid_request")
    try:
        named = await party.logged_out(parse_form(await request.body()).get("logout_token", ""))
    except BadToken as error:
        log.warning("logout token refused", reason=str(error))
        raise BadRequest("the logout token does not hold", code="invalid_request") from error
    except IssuerUnavailable as error:
        raise _unavailable(error) from error
    async with access.database.transaction() as session:
        ended = await commands.end_sessions(session, caller, party.issuer.url, named)
    if ended is None:
        raise BadRequest("the logout token was used before", code="invalid_request")
    request.state.recorded = bool(ended)
    for one in ended:
        access.evict(session_id=one)
    return Response(headers=UNKEPT)


async def _sign_in(
    access: AccessControl, caller: Caller, came: Came | FailureReason, *, issuer: str, browser: Browser | None
) -> Outcome:
    async with access.database.transaction() as session:
        if isinstance(came, Came):
            seconds = access.rules.lifetimes.absolute_seconds
            outcome = await commands.sign_in(session, caller, came, seconds=seconds, browser=browser)
        else:
            outcome = Outcome(failure=came)
        if outcome.failure is not None:
            email = came.account.email if isinstance(came, Came) else ""
            user_id = outcome.user.id if outcome.user is not None else None
            await record_failure(session, caller, email=email, user_id=user_id, reason=outcome.failure, issuer=issuer)
    return outcome


def _provider(request: Request) -> SignInElsewhere:
    provider: SignInElsewhere | None = request.app.state.oidc
    if provider is None:
        raise NotFound("no OpenID Provider is configured (REEVE_OIDC_ISSUER)", code="oidc_not_configured")
    return provider


def _cookie(secret: str, *, seconds: int = STATE_SECONDS) -> str:
    # Lax, not Strict: the way back begins at the provider's site. The prefix keeps other hosts from setting it.
    return f"{COOKIE}={secret}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Lax"


def _unavailable(error: IssuerUnavailable) -> Unavailable:
    log.warning("the provider does not answer", reason=str(error))
    return Unavailable("the OpenID Provider does not answer", code="issuer_unavailable", retry_after_seconds=5)


def _refused(reason: FailureReason) -> ReeveError:
    match reason:
        case "invalid_state":
            return BadRequest("this sign-in did not begin in this browser, or it is over; begin again", code=reason)
        case "no_role":
            return Forbidden("the provider gives you no role here", code=reason)
        case "account_exists":
            return Conflict("another account has your e-mail address; an administrator must change one", code=reason)
        case "provider_refused" | "invalid_id_token" | "inactive":
            return Unauthenticated("the provider did not vouch for anybody who may act here", code="sign_in_refused")
