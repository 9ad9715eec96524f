"""Live updates by server-sent events."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from libs.common.errors import Forbidden, Invalid, Unauthenticated
from libs.common.identity import Actor, Caller
from libs.common.web.sse import Stream, event_stream
from services.gateway.access.credentials import still_calls
from services.gateway.access.guard import any_admin
from services.gateway.features.route import AdminRoute
from services.gateway.stream.hub import Hub
from services.gateway.stream.topics import PERMISSIONS, Topic, may_hear

router = APIRouter(tags=["stream"], route_class=AdminRoute)

MayListen = Annotated[Caller, Depends(any_admin(action="open_stream"))]

_ANSWERS: dict[int | str, dict[str, object]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Server-sent events."}
}


@router.get("/stream", responses=_ANSWERS, response_class=Response)
async def open_stream(
    request: Request,
    caller: MayListen,
    topics: Annotated[
        str | None, Query(max_length=200, description="Topics separated by commas; all you may hear when absent.")
    ] = None,
    last_event_id: Annotated[str | None, Header(max_length=512)] = None,
) -> Response:
    """Live updates. `Last-Event-ID` resumes where you were; a `gap` event says that lists must be read again."""
    wanted = chosen(caller.actor, topics)
    hub: Hub = request.app.state.hub

    @asynccontextmanager
    async def subscribed(stream: Stream) -> AsyncIterator[None]:
        client = hub.join(stream, caller.actor, wanted, last_event_id)
        try:
            yield
        finally:
            hub.leave(client)

    async def is_allowed() -> bool:
        return await still_allowed(request, wanted)

    return event_stream(request, subscribed, still_allowed=is_allowed)


def chosen(actor: Actor, asked: str | None) -> frozenset[Topic]:
    """The topics asked for. Raises 422 for an unknown one and 403 for one that the actor may not hear."""
    if asked is None:
        return frozenset(topic for topic in Topic if may_hear(actor, topic))
    names = [name.strip() for name in asked.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Topic)]
    if unknown or not names:
        raise Invalid(f"topics must be some of {', '.join(Topic)}", code="unknown_topic")
    topics = frozenset(Topic(name) for name in names)
    _refuse_unheard(actor, topics)
    return topics


def _refuse_unheard(actor: Actor, topics: Iterable[Topic]) -> None:
    for topic in topics:
        if not may_hear(actor, topic):
            raise Forbidden(
                "This operation requires admin privileges",
                code="admin_permission_required",
                required_permission=PERMISSIONS[topic],
                user_permission=actor.level.value,
            )


async def still_allowed(request: Request, topics: frozenset[Topic]) -> bool:
    """Asked every few seconds: the session still lives and still may hear all of it."""
    try:
        actor = await still_calls(request.app.state.access, request.scope)
    except Unauthenticated:
        return False
    return all(may_hear(actor, topic) for topic in topics)
