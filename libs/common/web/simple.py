"""Runs the simplest and commonest of routes without FastAPI's general machinery.

A GET that declares only its request, doors, one query model and path parameters, and answers a
`Response`, needs no body parsing, no exit stacks and no dependency graph. For such a route those cost
more than everything else together; here it is run in the same order and with the same answers.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import RouteContext
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from libs.common.web.body import Door, StrictRoute, check_query, query_names
from libs.common.web.query import QueryOf

Step = tuple[str | None, Callable[[Request], Awaitable[Any]]]


class SimpleGet:
    """The ASGI application of one simple route."""

    def __init__(self, context: RouteContext, dependant: Dependant) -> None:
        assert dependant.call is not None
        self._endpoint: Callable[..., Awaitable[Response]] = dependant.call
        self._request_name = dependant.request_param_name
        self._doors: list[Step] = [(one.name, one.call) for one in dependant.dependencies if isinstance(one.call, Door)]
        self._queries: list[Step] = [
            (one.name, one.call) for one in dependant.dependencies if isinstance(one.call, QueryOf)
        ]
        self._path_params = dependant.path_params
        self._known = query_names(context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        values: dict[str, Any] = {}
        if self._request_name is not None:
            values[self._request_name] = request
        for name, door in self._doors:
            found = await door(request)
            if name is not None:
                values[name] = found
        if scope["query_string"]:
            check_query(request, self._known)
        if self._path_params:
            params, errors = request_params_to_args(self._path_params, request.path_params)
            if errors:
                raise RequestValidationError(errors)
            values |= params
        for name, query in self._queries:
            assert name is not None
            values[name] = await query(request)
        response = await self._endpoint(**values)
        await response(scope, receive, send)


def simple_get(context: RouteContext) -> SimpleGet | None:
    """The route run simply, or None when it needs more than that."""
    dependant: Dependant | None = getattr(context, "dependant", None)
    if dependant is None or not isinstance(context.original_route, StrictRoute) or context.methods != {"GET"}:
        return None
    return SimpleGet(context, dependant) if _is_simple(dependant) and _answers_response(dependant.call) else None


def _is_simple(dependant: Dependant) -> bool:
    needs_more = (
        dependant.query_params, dependant.header_params, dependant.cookie_params, dependant.body_params,
        dependant.websocket_param_name, dependant.http_connection_param_name, dependant.response_param_name,
        dependant.background_tasks_param_name, dependant.security_scopes_param_name,
    )  # fmt: skip
    return not any(needs_more) and all(
        isinstance(one.call, Door | QueryOf) and not one.dependencies for one in dependant.dependencies
    )


def _answers_response(call: Callable[..., Any] | None) -> bool:
    if call is None or not inspect.iscoroutinefunction(call):
        return False
    answered = get_type_hints(call).get("return")
    return isinstance(answered, type) and issubclass(answered, Response)
