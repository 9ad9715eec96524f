"""Passwords chosen with a link, and asking for one. Nothing here signs anybody in."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.identity import Caller
from services.gateway.access.guard import GuardedRoute, public, requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.links.commands import Links
from services.gateway.features.links.models import Purpose
from services.gateway.features.passwords import commands
from services.gateway.features.passwords.schemas import (
    AcceptedResponse,
    ActivationLinkResponse,
    ChoosePasswordRequest,
    ForgotPasswordRequest,
)
from services.gateway.features.route import AdminRoute

router = APIRouter(prefix="/auth", tags=["auth"], route_class=GuardedRoute)
users_router = APIRouter(prefix="/users", tags=["users"], route_class=AdminRoute)

MayActivate = Annotated[Caller, Depends(public(action="activate_user", login=True, admins=True))]
MayReset = Annotated[Caller, Depends(public(action="reset_password", login=True, admins=True))]
MayForget = Annotated[Caller, Depends(public(action="forget_password", login=True, admins=True))]
MaySend = Annotated[Caller, Depends(requires("users:write", action="send_activation_link", target="user/{user_id}"))]


@router.post("/activate", status_code=204)
async def activate_user(request: Request, caller: MayActivate, body: ChoosePasswordRequest) -> Response:
    """Choose the first password of an account with the link that was sent for it. Then sign in with it.

    The link works once: used, replaced, too old, or of an account that was switched off, it is 410 `link_expired`.
    A password that is refused (422) does not use it up.
    """
    return await _choose(request, caller, body, Purpose.ACTIVATION)


@router.post("/password/reset", status_code=204)
async def reset_password(request: Request, caller: MayReset, body: ChoosePasswordRequest) -> Response:
    """Choose another password with the link that was sent after `/auth/password/forgot`. All sessions end.

    The link works once, for an hour; then it is 410 `link_expired`. A second factor is still asked for at the sign-in.
    """
    return await _choose(request, caller, body, Purpose.PASSWORD_RESET)


@router.post("/password/forgot", status_code=202)
async def forget_password(request: Request, caller: MayForget, body: ForgotPasswordRequest) -> AcceptedResponse:
    """Ask for a link to choose another password. The answer is the same, and takes as long, whoever has that address.

    An account that was never activated is sent a new activation link; the older one works no more. An account is sent at
    most three links of a purpose within an hour.
    """
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        await commands.forget_password(session, caller, email=body.email.strip().lower())
    return AcceptedResponse()


@users_router.post("/{user_id}/activation-link", status_code=202)
async def send_activation_link(request: Request, caller: MaySend, user_id: UUID) -> ActivationLinkResponse:
    """Send the activation link of an account again; older ones work no more. At most three within an hour."""
    access: AccessControl = request.app.state.access
    links: Links = request.app.state.links
    async with access.database.transaction() as session:
        link = await commands.send_activation_link(session, caller, links, user_id=str(user_id))
    request.state.recorded = True
    return ActivationLinkResponse(user_id=link.user_id, expires_at=link.expires_at)


async def _choose(request: Request, caller: Caller, body: ChoosePasswordRequest, purpose: Purpose) -> Response:
    access: AccessControl = request.app.state.access
    token, password = body.token.get_secret_value(), body.password.get_secret_value()
    async with access.database.reading() as session:
        user = await commands.find_owner(session, token, purpose)
    # Neither is done for whoever has no link: they take time, and the second is somebody else's server.
    await access.password_policy.check(password, email=user.email, name=user.name, member="password")
    password_hash = await access.passwords.hash(password)
    async with access.database.transaction() as session:
        await commands.choose_password(
            session, caller, token=token, purpose=purpose, user_id=user.id, password_hash=password_hash
        )
    request.state.recorded = True
    access.evict(user_id=user.id)
    return Response(status_code=204)
