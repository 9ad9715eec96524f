"""Settings: reads stream from the settings service, writes go to it as commands."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from libs.common.broker.topology import SETTINGS_COMMANDS
from libs.common.errors import Unavailable
from libs.common.events.catalog import CommandData
from libs.common.events.settings import KEY_PATTERN, SettingResponse
from libs.common.identity import Caller
from libs.common.web.query import query_of
from services.gateway.access.grants import permission_required
from services.gateway.access.guard import public, requires
from services.gateway.features.answers import run_command
from services.gateway.features.preconditions import expected_version, require_confirmation
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import ListQuery, answers, outcomes
from services.gateway.features.settings.commands import SettingCommands
from services.gateway.features.settings.models import concerns_secret
from services.gateway.features.settings.schemas import (
    CategoriesResponse,
    CreateSettingRequest,
    ListSettingsQuery,
    PatchSettingRequest,
    PublicSettingsResponse,
    PutSettingRequest,
    RollbackRequest,
    SettingHistoryResponse,
    SettingsResponse,
)
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.forward import forward

router = APIRouter(prefix="/settings", tags=["settings"], route_class=AdminRoute)
public_router = APIRouter(prefix="/settings", tags=["settings"], route_class=AdminRoute)

Key = Annotated[str, Path(pattern=KEY_PATTERN)]
TARGET = "setting/{key}"


def _may(verb: str, action: str, target: str | None = TARGET) -> object:
    return Depends(requires(f"settings:{verb}", action=action, target=target, checks_secrets=verb == "write"))


MayList = Annotated[Caller, _may("read", "list_settings", None)]
MayCount = Annotated[Caller, _may("read", "list_setting_categories", None)]
MayRead = Annotated[Caller, _may("read", "view_setting")]
MayReadHistory = Annotated[Caller, _may("read", "view_setting_history")]
MayCreate = Annotated[Caller, _may("write", "create_setting", None)]
MayChange = Annotated[Caller, _may("write", "update_setting")]
MayDefine = Annotated[Caller, _may("write", "define_setting")]
MayDelete = Annotated[Caller, _may("write", "delete_setting")]
MayRollBack = Annotated[Caller, _may("write", "rollback_setting")]
Anyone = Annotated[Caller, Depends(public(action="list_public_settings"))]


@router.get("", responses=answers(SettingsResponse))
async def list_settings(
    request: Request, caller: MayList, query: Annotated[ListSettingsQuery, Depends(query_of(ListSettingsQuery))]
) -> Response:
    """All settings, by key. The list member is `settings`."""
    return await forward(request, caller, service="settings", path="/internal/settings")


@router.post("", status_code=201, responses=outcomes(SettingResponse, 201))
async def create_setting(request: Request, caller: MayCreate, body: CreateSettingRequest) -> Response:
    """Create a setting. 409 `setting_exists` when its key is taken."""
    return await _run(request, caller, _commands(request).create(body, origin=caller.origin), key=body.key)


@router.get("/categories", responses=answers(CategoriesResponse))
async def list_setting_categories(request: Request, caller: MayCount) -> Response:
    """The categories that occur, with counts."""
    return await forward(request, caller, service="settings", path="/internal/settings/categories")


@router.get("/{key}", responses=answers(SettingResponse))
async def view_setting(request: Request, caller: MayRead, key: Key) -> Response:
    """One setting, with its version as `ETag`."""
    return await forward(request, caller, service="settings", path=f"/internal/settings/{key}")


@router.put("/{key}", responses=outcomes(SettingResponse, 200, 201))
async def update_setting(request: Request, caller: MayChange, key: Key, body: PutSettingRequest) -> Response:
    """Set the value with `{"value": ...}`; with a whole body create or replace the setting."""
    command = _commands(request).put(key, body, version=expected_version(request), origin=caller.origin)
    return await _run(request, caller, command, key=key)


@router.patch("/{key}", responses=outcomes(SettingResponse, 200))
async def define_setting(request: Request, caller: MayDefine, key: Key, body: PatchSettingRequest) -> Response:
    """Change what the setting is; the value stays."""
    command = _commands(request).patch(key, body, version=expected_version(request), origin=caller.origin)
    return await _run(request, caller, command, key=key)


@router.delete("/{key}", status_code=204, responses=outcomes(None))
async def delete_setting(
    request: Request, caller: MayDelete, key: Key, confirm: Annotated[bool | None, Query()] = None
) -> Response:
    """Delete the setting; needs `?confirm=true`."""
    require_confirmation(confirm)
    command = _commands(request).delete(key, version=expected_version(request), origin=caller.origin)
    return await _run(request, caller, command, key=key)


@router.get("/{key}/history", responses=answers(SettingHistoryResponse))
async def view_setting_history(
    request: Request, caller: MayReadHistory, key: Key, query: Annotated[ListQuery, Depends(query_of(ListQuery))]
) -> Response:
    """Every version of the setting, newest first. The list member is `history`."""
    return await forward(request, caller, service="settings", path=f"/internal/settings/{key}/history")


@router.post("/{key}/rollback", responses=outcomes(SettingResponse, 200))
async def rollback_setting(request: Request, caller: MayRollBack, key: Key, body: RollbackRequest) -> Response:
    """The value of an earlier version again, as a new version."""
    command = _commands(request).roll_back(key, body, version=expected_version(request), origin=caller.origin)
    return await _run(request, caller, command, key=key)


@public_router.get("/public", responses=answers(PublicSettingsResponse))
async def list_public_settings(request: Request, caller: Anyone) -> Response:
    """The public settings alone, for everybody; `ETag` and `Cache-Control` let clients poll cheaply."""
    request.state.permission = "public"
    return await forward(request, caller, service="settings", path="/internal/settings/public")


def _commands(request: Request) -> SettingCommands:
    commands: SettingCommands = request.app.state.setting_commands
    return commands


async def _run(request: Request, caller: Caller, command: CommandData, *, key: str) -> Response:
    if caller.observed is not None:
        await _refuse_secret(request, caller, command, key)
    return await run_command(request, caller, command, subject=f"setting/{key}", queue=SETTINGS_COMMANDS)


async def _refuse_secret(request: Request, caller: Caller, command: CommandData, key: str) -> None:
    """Refuse a caller who lacks the permission and is only observed, where the setting is or becomes a secret."""
    assert caller.observed is not None
    upstream: Upstream = request.app.state.upstream
    found = await upstream.read("settings", f"/internal/settings/{key}", "", caller=caller, permission="settings:read")
    if found.status not in (200, 404):
        raise Unavailable("it cannot be known now whether the setting is secret", code="upstream_unavailable")
    asked = command.model_dump()
    about = [asked.get("definition"), asked.get("patch"), orjson.loads(found.body) if found.status == 200 else None]
    if any(concerns_secret(one) for one in about if one is not None):
        request.state.observed = None
        raise permission_required(caller.observed, caller.actor)
