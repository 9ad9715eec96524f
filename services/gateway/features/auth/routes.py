"""Signing in, staying signed in, signing out, and who one is."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import SecretStr

from libs.common.errors import NotFound, Unauthenticated
from libs.common.identity import Caller, Level
from services.gateway.access.browser_cookies import CLEARED
from services.gateway.access.credentials import BY_COOKIE, presented
from services.gateway.access.guard import GuardedRoute, any_admin, public
from services.gateway.access.sessions import AccessControl
from services.gateway.access.tokens import IssuedToken, invalid_token
from services.gateway.features.attempts import commands as attempts
from services.gateway.features.auth import commands, store
from services.gateway.features.auth.models import (
    Account,
    Browser,
    Checked,
    ReusedToken,
    StartedSession,
    sign_in_failure,
)
from services.gateway.features.auth.schemas import (
    BrowserSessionResponse,
    ChangePasswordRequest,
    RefreshRequest,
    RenewedCookieResponse,
    SignInRequest,
    StepUpRequest,
    StepUpResponse,
    TokensResponse,
)
from services.gateway.features.auth.store import StoredSession
from services.gateway.features.factors.commands import SecondFactors
from services.gateway.features.schemas import answers
from services.gateway.features.users import store as users_store
from services.gateway.features.users.models import User
from services.gateway.features.users.schemas import AdminResponse

router = APIRouter(prefix="/auth", tags=["auth"], route_class=GuardedRoute)

MaySignIn = Annotated[Caller, Depends(public(action="sign_in", login=True, admins=True))]
MayRefresh = Annotated[Caller, Depends(public(action="refresh_session", login=True, admins=True))]
MaySignOut = Annotated[Caller, Depends(any_admin(action="sign_out"))]
MayChangePassword = Annotated[Caller, Depends(any_admin(action="change_password", login=True))]
MayStepUp = Annotated[Caller, Depends(any_admin(action="step_up", login=True))]
MayViewSelf = Annotated[Caller, Depends(any_admin(action="view_self"))]
ByCookie = Annotated[
    Literal["cookie"] | None,
    Header(alias="X-Reeve-Session", description="`cookie`: be signed in by a cookie; the answer then bears no tokens."),
]


@router.post("/login")
async def sign_in(
    request: Request, response: Response, caller: MaySignIn, body: SignInRequest, by_cookie: ByCookie = None
) -> TokensResponse | BrowserSessionResponse:
    """Sign in with e-mail address and password. Whatever is wrong with them, the answer and its time are the same.

    A page of the platform's own origin may ask for a cookie in place of tokens: see `X-Reeve-Session`.
    """
    access: AccessControl = request.app.state.access
    factors: SecondFactors = request.app.state.factors
    checked = await _check(access, body, address=caller.origin.ip_address)
    async with access.database.transaction() as session:
        answer = await commands.sign_in(
            session, caller, checked, factors, otp=body.otp, seconds=access.rules.lifetimes.absolute_seconds,
            browser=browser_of(access, request) if by_cookie else None,
        )  # fmt: skip
    if answer == "otp_required":
        raise _otp_required()
    request.state.recorded = True
    if not isinstance(answer, StartedSession) or checked.user is None:
        raise Unauthenticated("e-mail address or password is wrong", code="invalid_credentials")
    if by_cookie:
        response.headers["Set-Cookie"] = new_cookie(access, answer, role=checked.user.role)
        return browser_response(answer, checked.user)
    return tokens_response(access, answer, checked.user)


@router.post("/refresh")
async def refresh_session(request: Request, caller: MayRefresh, body: RefreshRequest) -> TokensResponse:
    """New tokens for a session that still holds. Each refresh token works once; using one twice ends the session."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        refreshed = await commands.refresh_session(
            session, caller, body.refresh_token.get_secret_value(), lifetimes=access.rules.lifetimes
        )
        user = await users_store.get(session, refreshed.user_id) if isinstance(refreshed, StartedSession) else None
    match refreshed:
        case StartedSession() if user is not None:
            request.state.recorded = True
            return tokens_response(access, refreshed, user)
        case ReusedToken():
            access.evict(session_id=refreshed.session_id)
            raise Unauthenticated(
                "this refresh token was used before; the session has been ended",
                code="token_reused",
                challenge='Bearer error="invalid_token"',
            )
        case _:
            raise invalid_token("the refresh token does not hold")


@router.post("/logout", status_code=204)
async def sign_out(request: Request, caller: MaySignOut) -> Response:
    """End this session. Its tokens, or its cookie, stop working at once, everywhere."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        request_ended_it = await commands.sign_out(session, caller)
    request.state.recorded = request_ended_it
    access.evict(session_id=caller.actor.session_id)
    is_by_cookie = getattr(request.state, BY_COOKIE, False)
    return Response(status_code=204, headers={"Set-Cookie": CLEARED} if is_by_cookie else None)


@router.put("/password", status_code=204)
async def change_password(request: Request, caller: MayChangePassword, body: ChangePasswordRequest) -> Response:
    """Another password for oneself. All one's other sessions end."""
    access: AccessControl = request.app.state.access
    old_hash = await _proved(access, caller, body.old_password)
    new_password = body.new_password.get_secret_value()
    await _check_new(access, caller, new_password)
    new_hash = await access.passwords.hash(new_password)
    async with access.database.transaction() as session:
        is_changed = await commands.change_password(session, caller, old_hash=old_hash, new_hash=new_hash)
    if not is_changed:
        raise _wrong_password()
    request.state.recorded = True
    access.evict(user_id=caller.actor.id)
    return Response(status_code=204)


@router.post("/step-up")
async def step_up(
    request: Request, response: Response, caller: MayStepUp, body: StepUpRequest
) -> StepUpResponse | RenewedCookieResponse:
    """Prove once more who one is. The new token, and those of later refreshes, open what needs a fresh proof.

    A browser's session gets another cookie instead; the one from before works no more.
    """
    access: AccessControl = request.app.state.access
    proved_hash = await _proved(access, caller, body.password)
    factors: SecondFactors = request.app.state.factors
    async with access.database.transaction() as session:
        stored = await commands.step_up(session, caller, factors, proved_hash=proved_hash, otp=body.otp)
    if stored == "otp_required":
        raise _otp_required()
    if stored == "wrong_code":
        raise _wrong_password()
    if stored is None:
        raise invalid_token("the session has ended")
    request.state.recorded = True
    access.evict(session_id=stored.id)
    if getattr(request.state, BY_COOKIE, False):
        response.headers["Set-Cookie"] = new_cookie(access, stored, role=caller.actor.role or "")
        return RenewedCookieResponse(expires_at=stored.expires_at)
    token = _access_token(access, stored, level=caller.actor.level)
    return StepUpResponse(access_token=token.text, expires_in=token.expires_in)


@router.get("/me", responses=answers(AdminResponse))
async def view_self(request: Request, caller: MayViewSelf) -> Response:
    """The administrator who asks, with role, level and permissions. Whoever comes with another issuer's token and
    has no account here is 404 `no_account`."""
    access: AccessControl = request.app.state.access
    async with access.database.direct() as session:
        user = await users_store.find(session, caller.actor.id)
    if user is None:
        raise NotFound(f"no account here; the token's issuer makes its bearer {caller.actor.role}", code="no_account")
    return Response(AdminResponse.of(user).model_dump_json(), media_type="application/json")


async def _check(access: AccessControl, body: SignInRequest, *, address: str | None) -> Checked:
    password, email = body.password.get_secret_value(), body.email.strip().lower()
    async with access.database.reading() as session:
        found = await users_store.find_for_sign_in(session, email)
        user, kept = found if found is not None else (None, None)
        user_id = user.id if user is not None else None
        await attempts.refuse_if_locked(session, email=email, address=address, user_id=user_id)
    is_right = await access.passwords.check(password, kept)
    account = Account(is_active=user.is_active, has_password=kept is not None) if user is not None else None
    failure = sign_in_failure(account, password_is_right=is_right)
    outdated = failure is None and kept is not None and access.passwords.is_outdated(kept)
    return Checked(email, user, failure, kept, await access.passwords.hash(password) if outdated else None)


async def _proved(access: AccessControl, caller: Caller, password: SecretStr) -> str:
    """The hash that the caller's own password was checked against. Raises 401 `invalid_credentials`."""
    async with access.database.reading() as session:
        kept = await store.find_password_hash(session, caller.actor.id)
    if not await access.passwords.check(password.get_secret_value(), kept) or kept is None:
        raise _wrong_password()
    return kept


async def _check_new(access: AccessControl, caller: Caller, password: str) -> None:
    async with access.database.reading() as session:
        user = await users_store.get(session, caller.actor.id)
    await access.password_policy.check(password, email=user.email, name=user.name, member="new_password")


def _wrong_password() -> Unauthenticated:
    return Unauthenticated("the password, or the code, is wrong", code="invalid_credentials")


def _otp_required() -> Unauthenticated:
    return Unauthenticated("the second factor's code is needed as well: `otp`", code="otp_required")


def _access_token(access: AccessControl, session: StartedSession | StoredSession, *, level: Level) -> IssuedToken:
    return access.tokens.for_session(
        user_id=session.user_id,
        session_id=session.id,
        scope=level.value,
        signed_in_at=int(session.proved_at.timestamp()),
        session_ends_at=int(session.expires_at.timestamp()),
        idle_seconds=access.rules.lifetimes.idle_seconds,
        permission_epoch=session.permission_epoch,
    )


def browser_of(access: AccessControl, request: Request) -> Browser:
    """The browser that a sign-in comes from, with the session that it is in already."""
    ticket = presented(access, request.scope)
    return Browser(ticket.session_id if ticket is not None else None)


def new_cookie(access: AccessControl, session: StartedSession | StoredSession, *, role: str) -> str:
    """The `Set-Cookie` for a session whose owner has this role."""
    replaced = session.replaced if isinstance(session, StartedSession) else None
    if replaced is not None:
        access.evict(session_id=replaced)
    return access.cookies.write(session_id=session.id, proved_at=session.proved_at, role=role)


def browser_response(started: StartedSession, user: User) -> BrowserSessionResponse:
    """The answer to a sign-in by cookie."""
    return BrowserSessionResponse(admin=AdminResponse.of(user), expires_at=started.expires_at)


def tokens_response(access: AccessControl, started: StartedSession, user: User) -> TokensResponse:
    """The answer to a sign-in, however it was made."""
    assert started.refresh_token is not None, "a session by cookie has no tokens"
    token = _access_token(access, started, level=user.rights.level)
    return TokensResponse(
        access_token=token.text,
        expires_in=token.expires_in,
        refresh_token=started.refresh_token,
        admin=AdminResponse.of(user),
    )
