"""Reads over HTTP, for the gateway only: each answers the body of the public API, which is streamed on unchanged.

And the direct path: an event that cannot wait for the bus.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.database.engine import Database, Session
from libs.common.errors import Invalid
from libs.common.events.envelope import STRUCTURED, Event, MalformedEvent, decode_message
from libs.common.events.notification_fields import AlertSeverity, Priority
from libs.common.identity import Caller
from libs.common.web.body import StrictRoute
from libs.common.web.caller import asserted
from libs.common.web.paging import (
    MOST_COUNT,
    MOST_LIMIT,
    CursorKey,
    Page,
    Paging,
    Position,
    counted,
    decode_cursor,
    encode_cursor,
    listing,
)
from services.notifications.models import SEVERITIES
from services.notifications.store import alerts, notifications, reads

AUDIENCE = "notifications"
NOTIFICATIONS = "notifications"
ALERTS = "alerts"

MayReadNotifications = Annotated[Caller, Depends(asserted("notifications:read", audience=AUDIENCE))]
MayReadAlerts = Annotated[Caller, Depends(asserted("alerts:read", audience=AUDIENCE))]
MayTell = Annotated[Caller, Depends(asserted("alerts:write", audience=AUDIENCE))]
TakeDirect = Callable[[Session, Event], Awaitable[None]]
Type = Annotated[str | None, Query(alias="type", min_length=1, max_length=64)]
AlertTypeFilter = Annotated[str | None, Query(min_length=1, max_length=64)]
FingerprintFilter = Annotated[str | None, Query(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class Reading:
    """What every read needs: the database, and the key that cursors are signed with."""

    database: Database
    cursors: CursorKey


@dataclass(frozen=True, slots=True)
class Cursors:
    """The cursors of one list under one set of filters, for one reader where each sees it differently."""

    key: CursorKey
    resource: str
    filters: Mapping[str, object]
    reader: str = ""

    def position(self, page: Page) -> Position:
        """Where the page begins; None for the first. Raises 422 `invalid_cursor`."""
        if page.cursor is None:
            return None
        found = decode_cursor(self.key, page.cursor, resource=self.resource, filters=self.filters, subject=self.reader)
        return found[0]

    def after(self, position: Position) -> str:
        """The cursor that goes on after `position`."""
        return encode_cursor(self.key, [position], resource=self.resource, filters=self.filters, subject=self.reader)


def router(database: Database, cursors: CursorKey, *, take_direct: TakeDirect) -> APIRouter:
    """All routes; `take_direct` is what is done with an event of the direct path. The one-segment names come before `/{notification_id}`, which would take them."""
    reading = Reading(database, cursors)
    routes = APIRouter(prefix="/internal/notifications", route_class=StrictRoute)
    _add_alerts(routes, reading)
    _add_notifications(routes, reading)
    _add_direct(routes, database, take_direct)
    return routes


def _add_direct(routes: APIRouter, database: Database, take_direct: TakeDirect) -> None:
    @routes.put("/direct/{digest}", status_code=204)
    async def tell_directly(_: MayTell, request: Request, digest: str) -> Response:
        body = await request.body()
        if hashlib.sha256(body).hexdigest() != digest:
            raise Invalid("the body is not what the path says", code="invalid_event")
        try:
            (event,) = decode_message(STRUCTURED, {}, body)
        except MalformedEvent as error:
            raise Invalid(str(error), code="invalid_event") from None
        async with database.transaction() as session:
            await take_direct(session, event)
        return Response(status_code=204)


def _add_notifications(routes: APIRouter, reading: Reading) -> None:
    @routes.get("")
    async def list_notifications(
        caller: MayReadNotifications,
        page: Paging,
        *,
        type_: Type = None,
        priority: Priority | None = None,
        is_read: bool | None = None,
        action_required: bool | None = None,
    ) -> Response:
        filters = notifications.Filters(priority, type_, is_read, action_required)
        return _answer(await _notifications(reading, caller.actor.id, filters, page))

    @routes.get("/recent")
    async def recent_notifications(
        caller: MayReadNotifications, limit: Annotated[int, Query(ge=1, le=MOST_LIMIT)] = 5
    ) -> Response:
        filters = notifications.Filters(is_read=False)
        return _answer(await _notifications(reading, caller.actor.id, filters, Page(limit), is_paged=False))

    @routes.get("/unread-count")
    async def count_unread(caller: MayReadNotifications) -> Response:
        admin_id = caller.actor.id
        async with reading.database.reading() as session:
            mark = await reads.mark_of(session, admin_id)
            count = await notifications.unread_count(session, admin_id=admin_id, mark=mark)
        return _answer({"unread_count": min(count, MOST_COUNT)})

    @routes.get("/{notification_id}")
    async def get_notification(caller: MayReadNotifications, notification_id: UUID) -> Response:
        admin_id = caller.actor.id
        async with reading.database.reading() as session:
            mark = await reads.mark_of(session, admin_id)
            found = await notifications.get(session, str(notification_id), admin_id=admin_id, mark=mark)
        return _answer(found.body(admin_id=admin_id))


def _add_alerts(routes: APIRouter, reading: Reading) -> None:
    @routes.get("/alerts")
    async def list_alerts(
        _: MayReadAlerts,
        page: Paging,
        *,
        alert_type: AlertTypeFilter = None,
        severity: AlertSeverity | None = None,
        is_resolved: bool | None = None,
        fingerprint: FingerprintFilter = None,
    ) -> Response:
        return _answer(await _alerts(reading, alerts.Filters(alert_type, severity, is_resolved, fingerprint), page))

    @routes.get("/alerts/stats")
    async def alert_stats(_: MayReadAlerts) -> Response:
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        async with reading.database.reading() as session:
            return _answer(_stats(await alerts.stats(session, today=today)))

    @routes.get("/alerts/{alert_id}")
    async def get_alert(_: MayReadAlerts, alert_id: UUID) -> Response:
        async with reading.database.reading() as session:
            found = await alerts.get(session, str(alert_id))
        return _answer({**found.body(), "timeline": found.timeline()})


async def _notifications(
    reading: Reading, admin_id: str, filters: notifications.Filters, page: Page, *, is_paged: bool = True
) -> dict[str, Any]:
    cursors = Cursors(reading.cursors, NOTIFICATIONS, asdict(filters), admin_id)
    before = cursors.position(page)
    async with reading.database.reading() as session:
        mark = await reads.mark_of(session, admin_id)
        found = await notifications.search(
            session,
            admin_id=admin_id,
            mark=mark,
            filters=filters,
            limit=page.limit + 1,
            skip=page.skip,
            before=before if isinstance(before, int) else None,
        )
        count = await notifications.count(session, admin_id=admin_id, mark=mark, filters=filters)
        unread = await notifications.unread_count(session, admin_id=admin_id, mark=mark)
    shown = found[: page.limit]
    cursor = cursors.after(shown[-1].position) if is_paged and len(found) > page.limit else None
    bodies = [one.body(admin_id=admin_id) for one in shown]
    return _listing(NOTIFICATIONS, bodies, count, page, cursor, unread_count=min(unread, MOST_COUNT))


async def _alerts(reading: Reading, filters: alerts.Filters, page: Page) -> dict[str, Any]:
    cursors = Cursors(reading.cursors, ALERTS, asdict(filters))
    before = cursors.position(page)
    async with reading.database.reading() as session:
        found = await alerts.search(
            session,
            filters=filters,
            limit=page.limit + 1,
            skip=page.skip,
            before=before if isinstance(before, str) else None,
        )
        count = await alerts.count(session, filters=filters)
    shown = found[: page.limit]
    cursor = cursors.after(shown[-1].id) if len(found) > page.limit else None
    return _listing(ALERTS, [one.body() for one in shown], count, page, cursor)


def _listing(
    plural: str,
    rows: Sequence[Mapping[str, Any]],
    count: int,
    page: Page,
    cursor: str | None,
    *,
    unread_count: int | None = None,
) -> dict[str, Any]:
    total, exact = counted(count)
    more = {} if unread_count is None else {"unread_count": unread_count}
    return listing(plural, rows, total=total, exact=exact, page=page, next_cursor=cursor, **more)


def _stats(found: alerts.Stats) -> dict[str, Any]:
    """`total` and `resolved_today` are capped as every total is; all else counts the active ones."""
    by_type: dict[str, int] = {}
    by_severity = dict.fromkeys(SEVERITIES, 0)
    for (alert_type, severity), count in found.active.items():
        by_type[alert_type] = by_type.get(alert_type, 0) + count
        by_severity[severity] += count
    total, exact = counted(found.total)
    return {
        "total": total,
        "total_is_exact": exact,
        "active": sum(by_type.values()),
        "critical": by_severity["critical"],
        "resolved_today": min(found.resolved_today, MOST_COUNT),
        "by_type": by_type,
        "by_severity": by_severity,
    }


def _answer(body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
