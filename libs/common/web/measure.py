"""What is kept of every finished request: a count, a duration, a span when it is sampled, a debug line.

The children of the metrics are bound once per route, method and status, so that a request costs two
increments. A route is its template, never the path: label values stay few whatever is asked for.
"""

from collections.abc import Callable
from time import time_ns
from typing import cast

from starlette.types import Scope

from libs.common import logs, metrics, telemetry

UNMATCHED = "unmatched"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"))
_Bound = tuple[Callable[[], None], Callable[[float], None]]
log = logs.get(__name__)


class Measures:
    """The measures of one application."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._bound: dict[tuple[str, str, int], _Bound] = {}

    def take(self, scope: Scope, *, status: int, seconds: float, request_id: str, place: telemetry.Trace) -> None:
        """Keep what is to be kept of a request that took `seconds` until now."""
        method = scope.get("method", "WEBSOCKET")
        route = route_of(scope)
        count, observe = self._bound.get((route, method, status)) or self._bind(route, method, status)
        count()
        observe(seconds)
        if place.is_sampled:
            telemetry.record(
                place,
                name=f"{method} {route}",
                started_ns=time_ns() - int(seconds * 1e9),
                attributes={
                    "service": self._service, "http.request.method": method, "http.route": route,
                    "http.response.status_code": status, "request_id": request_id,
                },
                failed=status >= 500,
            )  # fmt: skip
        if logs.is_debug():
            log.debug(
                "request answered", method=method, path=scope["path"], status=status, ms=round(seconds * 1000, 3),
                request_id=request_id, trace_id=place.trace_id,
            )  # fmt: skip

    def _bind(self, route: str, method: str, status: int) -> _Bound:
        named = method if method in _METHODS else "other"
        bound = (
            metrics.REQUESTS.labels(self._service, route, named, str(status)).inc,
            metrics.REQUEST_SECONDS.labels(self._service, route, named).observe,
        )
        if named == method:
            self._bound[route, method, status] = bound
        return bound


def route_of(scope: Scope) -> str:
    """The template of the route that took the request, such as `/settings/{key}`; `unmatched` when none did."""
    route = scope.get("route")
    if route is None:
        return UNMATCHED
    # An included router's prefix is known to FastAPI's effective context alone.
    included = scope["fastapi"].get("effective_route_context") if "fastapi" in scope else None
    template = cast("str", (included or route).path_format)
    return scope["root_path"] + template if scope.get("root_path") else template
