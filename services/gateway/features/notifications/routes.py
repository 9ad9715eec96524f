"""Notifications: reads stream from the notifications service, writes go to it as commands."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.broker.topology import NOTIFICATIONS_COMMANDS
from libs.common.events.catalog import CommandData
from libs.common.events.notifications import (
    CreateNotification,
    DeleteNotification,
    ReadAllNotifications,
    ReadNotification,
    UnreadNotification,
)
from libs.common.identity import Caller
from libs.common.ids import new_id
from libs.common.web.query import query_of
from services.gateway.access.guard import requires
from services.gateway.features.alerts.routes import router as alerts_router
from services.gateway.features.answers import run_command
from services.gateway.features.notifications.schemas import (
    CreateNotificationRequest,
    ListNotificationsQuery,
    NotificationResponse,
    NotificationsResponse,
    RecentQuery,
    UnreadCountResponse,
)
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import answers, outcomes
from services.gateway.upstream.forward import forward

router = APIRouter(prefix="/notifications", tags=["notifications"], route_class=AdminRoute)
router.include_router(alerts_router)

TARGET = "notification/{notification_id}"
SERVICE = "notifications"


def _may(verb: str, action: str, target: str | None = None) -> object:
    return Depends(requires(f"notifications:{verb}", action=action, target=target))


MayList = Annotated[Caller, _may("read", "list_notifications")]
MayGlance = Annotated[Caller, _may("read", "list_recent_notifications")]
MayCount = Annotated[Caller, _may("read", "count_unread_notifications")]
MayView = Annotated[Caller, _may("read", "view_notification", TARGET)]
MayCreate = Annotated[Caller, _may("write", "create_notification")]
MayRead = Annotated[Caller, _may("write", "read_notification", TARGET)]
MayUnread = Annotated[Caller, _may("write", "unread_notification", TARGET)]
MayReadAll = Annotated[Caller, _may("write", "read_all_notifications")]
MayDelete = Annotated[Caller, _may("write", "delete_notification", TARGET)]


@router.get("", responses=answers(NotificationsResponse))
async def list_notifications(
    request: Request,
    caller: MayList,
    query: Annotated[ListNotificationsQuery, Depends(query_of(ListNotificationsQuery))],
) -> Response:
    """Newest first, as the caller has read them. The list member is `notifications`, beside `unread_count`."""
    return await forward(request, caller, service=SERVICE, path="/internal/notifications")


@router.post("", status_code=201, responses=outcomes(NotificationResponse, 201))
async def create_notification(request: Request, caller: MayCreate, body: CreateNotificationRequest) -> Response:
    """Tell every administrator something."""
    command = CreateNotification(**body.model_dump(), origin=caller.origin)
    return await _run(request, caller, command, subject=f"notification/{new_id()}")


@router.get("/recent", responses=answers(NotificationsResponse))
async def list_recent_notifications(
    request: Request, caller: MayGlance, query: Annotated[RecentQuery, Depends(query_of(RecentQuery))]
) -> Response:
    """The newest unread ones, for a header's bell."""
    return await forward(request, caller, service=SERVICE, path="/internal/notifications/recent")


@router.get("/unread-count", responses=answers(UnreadCountResponse))
async def count_unread_notifications(request: Request, caller: MayCount) -> Response:
    """How many the caller has not read."""
    return await forward(request, caller, service=SERVICE, path="/internal/notifications/unread-count")


@router.put("/mark-all-read", responses=outcomes(UnreadCountResponse, 200))
async def read_all_notifications(request: Request, caller: MayReadAll) -> Response:
    """The caller has read everything there is now."""
    return await _run(request, caller, ReadAllNotifications(origin=caller.origin), subject=f"user/{caller.actor.id}")


@router.get("/{notification_id}", responses=answers(NotificationResponse))
async def view_notification(request: Request, caller: MayView, notification_id: UUID) -> Response:
    """One notification, as the caller has read it."""
    return await forward(request, caller, service=SERVICE, path=f"/internal/notifications/{notification_id}")


@router.put("/{notification_id}/read", responses=outcomes(NotificationResponse, 200))
async def read_notification(request: Request, caller: MayRead, notification_id: UUID) -> Response:
    """The caller has read this one."""
    command = ReadNotification(notification_id=str(notification_id), origin=caller.origin)
    return await _run(request, caller, command, subject=f"notification/{notification_id}")


@router.put("/{notification_id}/unread", responses=outcomes(NotificationResponse, 200))
async def unread_notification(request: Request, caller: MayUnread, notification_id: UUID) -> Response:
    """Let it count as unread for the caller again."""
    command = UnreadNotification(notification_id=str(notification_id), origin=caller.origin)
    return await _run(request, caller, command, subject=f"notification/{notification_id}")


@router.delete("/{notification_id}", status_code=204, responses=outcomes(None))
async def delete_notification(request: Request, caller: MayDelete, notification_id: UUID) -> Response:
    """Remove it, for everybody."""
    command = DeleteNotification(notification_id=str(notification_id), origin=caller.origin)
    return await _run(request, caller, command, subject=f"notification/{notification_id}")


async def _run(request: Request, caller: Caller, command: CommandData, *, subject: str) -> Response:
    return await run_command(request, caller, command, subject=subject, queue=NOTIFICATIONS_COMMANDS)
