"""From which addresses the control plane may be called."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from libs.common.identity import Caller
from services.gateway.access import store as access_store
from services.gateway.access.guard import requires
from services.gateway.access.ip_rules import IpRules
from services.gateway.access.sessions import AccessControl
from services.gateway.features.preconditions import expected_version
from services.gateway.features.route import AdminRoute
from services.gateway.features.security import commands
from services.gateway.features.security.schemas import IpRulesRequest, IpRulesResponse

router = APIRouter(prefix="/security", tags=["security"], route_class=AdminRoute)

MayRead = Annotated[Caller, Depends(requires("security:read", action="view_ip_rules", target="ip_rules"))]
MayChange = Annotated[Caller, Depends(requires("security:write", action="change_ip_rules", target="ip_rules"))]


@router.get("/ip-rules")
async def view_ip_rules(request: Request, response: Response, caller: MayRead) -> IpRulesResponse:
    """The rules about addresses as they hold now."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        rules = await access_store.load_ip_rules(session)
    return _answer(response, rules)


@router.put("/ip-rules")
async def change_ip_rules(
    request: Request, response: Response, caller: MayChange, body: IpRulesRequest
) -> IpRulesResponse:
    """Other rules, for all gateways within a second; open streams end and are asked again. Honours `If-Match`.

    Rules that would shut out the address that sets them are refused (`self_lockout`). Should all administrators be shut
    out all the same, `python -m services.gateway clear-ip-rules` on the machine lifts every rule.
    """
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        rules, is_changed = await commands.set_ip_rules(
            session, caller, allow=body.allow, deny=body.deny, version=expected_version(request)
        )
    request.state.recorded = is_changed
    access.forget_ip_rules()
    return _answer(response, rules)


def _answer(response: Response, rules: IpRules) -> IpRulesResponse:
    response.headers["ETag"] = f'"{rules.version}"'
    return IpRulesResponse.of(rules)
