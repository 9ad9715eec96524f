"""The health of the platform."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from libs.common.identity import Caller
from services.gateway.access.guard import requires
from services.gateway.features.route import AdminRoute
from services.gateway.features.system.schemas import HealthResponse

router = APIRouter(prefix="/system", tags=["system"], route_class=AdminRoute)

MaySeeHealth = Annotated[Caller, Depends(requires("system:read", action="view_system_health"))]


@router.get("/health")
async def view_system_health(request: Request, caller: MaySeeHealth) -> HealthResponse:
    """Each service, the database, the broker and its queues, the outbox and the disk: how, how fast, since when."""
    health: HealthResponse = await request.app.state.health.look()
    return health
