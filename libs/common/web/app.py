"""The application factory: what every service's HTTP side has in common.

An application made here answers every error in one shape, reads bodies strictly, knows its probes and
bears the edge around all of it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Match
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from libs.common.assertions import AssertionVerifier
from libs.common.web import reference
from libs.common.web.body import StrictRoute, doors_of, queries_of
from libs.common.web.errors import Shape
from libs.common.web.health import Check, probes
from libs.common.web.middleware import Edge, Limits
from libs.common.web.openapi import with_error_shape
from libs.common.web.routing import IndexedRouter
from libs.common.web.sse import Streams

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class Application(FastAPI):
    """FastAPI without its own telemetry, error pages and body limit: the edge does all that, once."""

    describe_edge: Callable[[ASGIApp], Edge]

    def build_middleware_stack(self) -> ASGIApp:
        """The edge outermost, so that it answers for everything; then the application's own layers."""
        app: ASGIApp = AsyncExitStackMiddleware(IndexedRouter(self.router))
        for layer, args, kwargs in reversed(self.user_middleware):
            app = layer(app, *args, **kwargs)
        return self.describe_edge(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        await self.middleware_stack(scope, receive, send)

    def add_exception_handler(self, *_: object) -> None:
        """Refused: the edge renders every error, and a second place would be a second shape."""
        raise TypeError("errors are rendered by the edge: raise a ReeveError, or give create_app an error shape")

    def openapi(self) -> dict[str, Any]:
        """The description, with our error shape in the place of FastAPI's."""
        if self.openapi_schema is None:
            self.openapi_schema = with_error_shape(self._completed(super().openapi()))
        return self.openapi_schema

    def _completed(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The description with what FastAPI knows nothing of: the parameters of `query_of`, and permissions."""
        for context in iter_route_contexts(self.routes):
            dependant: Dependant | None = getattr(context, "dependant", None)
            if dependant is None:
                continue
            for method in context.methods or ():
                operation = schema["paths"].get(context.path_format, {}).get(method.lower())
                if operation is not None:
                    schemes = _complete(operation, dependant)
                    schema["components"].setdefault("securitySchemes", {}).update(schemes)
        return schema


def _complete(operation: dict[str, Any], dependant: Dependant) -> dict[str, Any]:
    """Completes an operation; the further security schemes that it names."""
    parameters = [one for parser in queries_of(dependant) for one in parser.parameters()]
    if parameters:
        operation.setdefault("parameters", []).extend(parameters)
    needed = next((door.permission for door in doors_of(dependant) if door.permission), None)
    if needed:
        operation["x-required-permission"] = needed
    schemes = {name: dict(one) for door in doors_of(dependant) for name, one in door.schemes.items()}
    if schemes:
        operation["security"] = [*operation.get("security", ()), *({name: []} for name in schemes)]
    return schemes


def allowed_methods(scope: Scope) -> list[str]:
    """The methods that some route takes at the path of `scope`, in the application that was reached."""
    routes = scope["app"].router.routes
    inner = {name: value for name, value in scope.items() if name not in ("fastapi", "path_params", "route")}
    return [
        method
        for method in _METHODS
        if any(route.matches({**inner, "method": method})[0] is Match.FULL for route in routes)
    ]


def create_app(
    *,
    service: str,
    title: str,
    version: str,
    checks: Mapping[str, Check],
    lifespan: Lifespan[FastAPI] | None = None,
    openapi_url: str | None = None,
    docs_url: str | None = None,
    public: bool = False,
    assertions: AssertionVerifier | None = None,
    error_shapes: Mapping[str, Shape] | None = None,
    limits: Limits | None = None,
) -> Application:
    """A new application with its probes.

    Routes come from routers made with `APIRouter(route_class=StrictRoute)`, or are added straight to it.
    `public` says that browsers may call it; `assertions` is what `asserted` verifies callers with;
    `error_shapes` maps a path prefix to the error shape that a standard demands there.
    """
    app = Application(
        title=title,
        version=version,
        lifespan=lifespan,
        openapi_url=openapi_url,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.router.route_class = StrictRoute
    app.state.assertions = assertions
    app.state.checks = dict(checks)
    app.state.streams = Streams(service)
    app.describe_edge = partial(
        Edge,
        service=service,
        is_public=public,
        limits=limits or Limits(),
        allowed=allowed_methods,
        shapes=error_shapes or {},
        streams=app.state.streams,
    )
    app.include_router(probes(checks))
    if docs_url is not None:
        app.add_route(docs_url, _reference_page, include_in_schema=False)
    return app


async def _reference_page(request: Request) -> HTMLResponse:
    """The description for people: a page of our own that loads nothing from elsewhere."""
    app: Application = request.app
    page = reference.reference(app.openapi(), openapi_url=app.openapi_url or "")
    return HTMLResponse(page, headers={"content-security-policy": reference.POLICY})
