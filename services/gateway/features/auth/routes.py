"""Signing in, staying signed in, signing out, and who one is."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from libs.common.errors import NotFound, Unauthenticated
from libs.common.identity import Caller
from services.gateway.access.guard import GuardedRoute, any_admin, public
from services.gateway.access.permissions import level_of
from services.gateway.access.sessions import AccessControl
from services.gateway.access.tokens import invalid_token
from services.gateway.features.auth import commands
from services.gateway.features.auth.models import Account, FailureReason, ReusedToken, StartedSession, sign_in_failure
from services.gateway.features.auth.schemas import RefreshRequest, SignInRequest, TokensResponse
from services.gateway.features.users import store as users_store
from services.gateway.features.users.models import User
from services.gateway.features.users.schemas import AdminResponse

router = APIRouter(prefix="/auth", tags=["auth"], route_class=GuardedRoute)

MaySignIn = Annotated[Caller, Depends(public(action="sign_in", login=True))]
MayRefresh = Annotated[Caller, Depends(public(action="refresh_session", login=True))]
MaySignOut = Annotated[Caller, Depends(any_admin(action="sign_out"))]
MayViewSelf = Annotated[Caller, Depends(any_admin(action="view_self"))]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a sign-in attempt came to: the user and, when it failed, why."""

    user: User | None
    failure: FailureReason | None
    new_password_hash: str | None = None


@router.post("/login")
async def sign_in(request: Request, caller: MaySignIn, body: SignInRequest) -> TokensResponse:
    """Sign in with e-mail address and password. Whatever is wrong with them, the answer and its time are the same."""
    access: AccessControl = request.app.state.access
    checked = await _check(access, body)
    started: StartedSession | None = None
    async with access.database.transaction() as session:
        if checked.user is not None and checked.failure is None:
            started = await commands.start_session(
                session,
                caller,
                checked.user,
                seconds=access.rules.session_seconds,
                new_password_hash=checked.new_password_hash,
            )
        if started is None:
            await commands.record_failure(
                session,
                caller,
                email=body.email,
                user_id=checked.user.id if checked.user is not None else None,
                reason=checked.failure or "inactive",
            )
    request.state.recorded = True
    if started is None or checked.user is None:
        raise Unauthenticated("e-mail address or password is wrong", code="invalid_credentials")
    return tokens_response(access, started, checked.user)


@router.post("/refresh")
async def refresh_session(request: Request, caller: MayRefresh, body: RefreshRequest) -> TokensResponse:
    """New tokens for a session that still holds. Each refresh token works once; using one twice ends the session."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        refreshed = await commands.refresh_session(session, caller, body.refresh_token.get_secret_value())
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
    """End this session. Its tokens stop working at once, everywhere."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        request_ended_it = await commands.sign_out(session, caller)
    request.state.recorded = request_ended_it
    access.evict(session_id=caller.actor.session_id)
    return Response(status_code=204)


@router.get("/me")
async def view_self(request: Request, caller: MayViewSelf) -> AdminResponse:
    """The administrator who asks, with role, level and permissions. Whoever comes with another issuer's token and
    has no account here is 404 `no_account`."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        user = await users_store.find(session, caller.actor.id)
    if user is None:
        raise NotFound(f"no account here; the token's issuer makes its bearer {caller.actor.role}", code="no_account")
    return AdminResponse.of(user)


async def _check(access: AccessControl, body: SignInRequest) -> Checked:
    password = body.password.get_secret_value()
    async with access.database.reading() as session:
        found = await users_store.find_for_sign_in(session, body.email.strip().lower())
    user, kept = found if found is not None else (None, None)
    is_right = await access.passwords.check(password, kept)
    account = Account(is_active=user.is_active, has_password=kept is not None) if user is not None else None
    failure = sign_in_failure(account, password_is_right=is_right)
    outdated = failure is None and kept is not None and access.passwords.is_outdated(kept)
    return Checked(user, failure, await access.passwords.hash(password) if outdated else None)


def tokens_response(access: AccessControl, started: StartedSession, user: User) -> TokensResponse:
    """The answer to a sign-in, however it was made."""
    token = access.tokens.for_session(
        user_id=user.id,
        session_id=started.id,
        scope=level_of(user.role).value,
        signed_in_at=int(started.login_at.timestamp()),
        session_ends_at=int(started.expires_at.timestamp()),
    )
    return TokensResponse(
        access_token=token.text,
        expires_in=token.expires_in,
        refresh_token=started.refresh_token,
        admin=AdminResponse.of(user),
    )
