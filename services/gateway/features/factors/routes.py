"""An administrator's own second factor."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from libs.common.identity import Caller
from services.gateway.access.guard import GuardedRoute, any_admin, demand_fresh
from services.gateway.access.sessions import AccessControl
from services.gateway.features.factors.commands import SecondFactors
from services.gateway.features.factors.schemas import ConfirmRequest, EnrolmentResponse, RecoveryCodesResponse

# Not an `AdminRoute`: answers that are shown once are not kept for an `Idempotency-Key`.
router = APIRouter(prefix="/auth/mfa/totp", tags=["auth"], route_class=GuardedRoute)

MayBegin = Annotated[Caller, Depends(any_admin(action="begin_second_factor"))]
MayConfirm = Annotated[Caller, Depends(any_admin(action="confirm_second_factor"))]
MayRemove = Annotated[Caller, Depends(any_admin(action="remove_second_factor"))]


@router.post("")
async def begin_second_factor(request: Request, caller: MayBegin) -> EnrolmentResponse:
    """A new secret for an authenticator application. It counts once it is confirmed; beginning again replaces it. Needs a fresh proof."""
    demand_fresh(request)
    access: AccessControl = request.app.state.access
    factors: SecondFactors = request.app.state.factors
    async with access.database.transaction() as session:
        begun = await factors.begin(session, user_id=caller.actor.id, account=caller.actor.username)
    return EnrolmentResponse(otpauth_uri=begun.otpauth_uri, secret=begun.secret)


@router.post("/confirm")
async def confirm_second_factor(request: Request, caller: MayConfirm, body: ConfirmRequest) -> RecoveryCodesResponse:
    """From now on signing in asks for a code. The ten recovery codes of the answer are shown this once."""
    access: AccessControl = request.app.state.access
    factors: SecondFactors = request.app.state.factors
    async with access.database.transaction() as session:
        codes = await factors.confirm(session, caller, body.otp)
    request.state.recorded = True
    return RecoveryCodesResponse(recovery_codes=list(codes))


@router.delete("", status_code=204)
async def remove_second_factor(request: Request, caller: MayRemove) -> Response:
    """Signing in asks for no code any more; the recovery codes are gone as well. Needs a fresh proof."""
    demand_fresh(request)
    access: AccessControl = request.app.state.access
    factors: SecondFactors = request.app.state.factors
    async with access.database.transaction() as session:
        request.state.recorded = await factors.remove(session, caller)
    return Response(status_code=204)
