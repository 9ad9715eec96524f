"""The rules that security events are found by, and trying one on the past."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from libs.common.identity import Caller
from libs.common.web.paging import Paging, decode_cursor, encode_cursor
from services.gateway.access.guard import requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.detection import commands, store
from services.gateway.features.detection.models.rules import rule_not_found
from services.gateway.features.detection.schemas import (
    DryRunRequest,
    DryRunResponse,
    FoundResponse,
    RuleRequest,
    RuleResponse,
    RulesResponse,
)
from services.gateway.features.preconditions import creates_only, expected_version, is_unchanged
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import NOT_MODIFIED

router = APIRouter(prefix="/security/rules", tags=["security"], route_class=AdminRoute)

MOST_SHOWN = 200
TARGET = "security_rule/{name}"
MayList = Annotated[Caller, Depends(requires("security:read", action="list_security_rules"))]
MayRead = Annotated[Caller, Depends(requires("security:read", action="view_security_rule", target=TARGET))]
MayTry = Annotated[Caller, Depends(requires("security:read", action="try_security_rule"))]
MayChange = Annotated[Caller, Depends(requires("security:write", action="change_security_rule", target=TARGET))]
MayDelete = Annotated[Caller, Depends(requires("security:write", action="delete_security_rule", target=TARGET))]
RuleName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


@router.get("")
async def list_security_rules(request: Request, caller: MayList, page: Paging) -> RulesResponse:
    """All rules, by name."""
    access: AccessControl = request.app.state.access
    skip = page.skip
    if page.cursor is not None:
        skip = int(decode_cursor(access.cursors, page.cursor, resource="security_rules", filters={})[0] or 0)
    async with access.database.reading() as session:
        rules = await store.load_rules(session)
    end = skip + page.limit
    return RulesResponse(
        rules=[RuleResponse.of(rule) for rule in rules[skip:end]],
        total=len(rules),
        total_is_exact=True,
        skip=page.skip,
        limit=page.limit,
        next_cursor=(
            encode_cursor(access.cursors, [end], resource="security_rules", filters={}) if len(rules) > end else None
        ),
    )


@router.post("/dry-run")
async def try_security_rule(request: Request, caller: MayTry, body: DryRunRequest) -> DryRunResponse:
    """What a rule would have raised over the last hours, at most 72, had it begun then; nothing is raised."""
    dry_runs: commands.DryRuns = request.app.state.dry_runs
    rule = body.rule.rule("dry_run")
    since, trial = await dry_runs.run(rule, hours=body.hours)
    found = trial.found
    return DryRunResponse(
        since=since,
        facts=trial.facts,
        total=len(found),
        event_type=rule.event_type,
        severity=rule.severity,
        events=[FoundResponse.of(one) for one in found[: -MOST_SHOWN - 1 : -1]],
    )


@router.get("/{name}", response_model=RuleResponse, responses=NOT_MODIFIED)
async def view_security_rule(
    request: Request, response: Response, caller: MayRead, name: RuleName
) -> RuleResponse | Response:
    """One rule, with its version as `ETag`."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        rule = await store.find_rule(session, name)
    if rule is None:
        raise rule_not_found(name)
    if is_unchanged(request, rule.version):
        return Response(status_code=304, headers={"ETag": f'"{rule.version}"'})
    response.headers["ETag"] = f'"{rule.version}"'
    return RuleResponse.of(rule)


@router.put("/{name}", responses={201: {"model": RuleResponse, "description": "The rule is new."}})
async def change_security_rule(
    *, request: Request, response: Response, caller: MayChange, name: RuleName, body: RuleRequest
) -> RuleResponse:
    """Make a rule, or make it another one; it judges what comes from now on. Honours `If-Match`, and `If-None-Match: *`
    to make it only."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        rule, is_new, is_changed = await commands.put_rule(
            session, caller, body.rule(name), version=expected_version(request), creates_only=creates_only(request)
        )
    request.state.recorded = is_changed
    response.status_code = 201 if is_new else 200
    response.headers["ETag"] = f'"{rule.version}"'
    return RuleResponse.of(rule)


@router.delete("/{name}", status_code=204)
async def delete_security_rule(
    request: Request,
    caller: MayDelete,
    name: RuleName,
    confirm: Annotated[bool | None, Query()] = None,
) -> Response:
    """Forget a rule that is not built in; the events it raised stay. Honours `If-Match`."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        await commands.delete_rule(session, caller, name, version=expected_version(request))
    request.state.recorded = True
    return Response(status_code=204)
