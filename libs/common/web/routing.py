"""Finds the route of a request without trying all of them.

FastAPI tries its routes one after the other, and those of included routers once more at every level; a
hundred routes double the cost of a request. The index looks among the few whose fixed beginning fits,
picks the one that FastAPI would pick, and leaves whatever it is not sure of to FastAPI's own router:
unknown paths, wrong methods, mounts, websockets.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute, APIRouter, RouteContext, iter_route_contexts
from starlette.convertors import PathConvertor
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common.web.simple import simple_get

_Key = tuple[str, int, str]
"""Method, number of segments, and the fixed beginning."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    order: int
    context: RouteContext
    pattern: re.Pattern[str]
    app: ASGIApp

    def path_params(self, path: str) -> dict[str, Any] | None:
        """The parameters when this route's template fits the path, else None."""
        found = self.pattern.match(path)
        if found is None:
            return None
        convertors = self.context.param_convertors
        return {name: convertors[name].convert(value) for name, value in found.groupdict().items()}


class IndexedRouter:
    """The ASGI application that puts the index before a router. The index is made at the first request."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self._entries: dict[_Key, list[_Entry]] | None = None
        self._beginnings: dict[tuple[str, int], tuple[int, ...]] = {}
        self._foreign: list[tuple[int, re.Pattern[str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope.get("root_path"):
            if self._entries is None:
                self._entries = self._indexed()
            for entry in self._candidates(scope["method"], scope["path"]):
                params = entry.path_params(scope["path"])
                if params is not None and not self._is_foreign(entry.order, scope["path"]):
                    await entry.app(_entered(scope, self._router, entry, params), receive, send)
                    return
        await self._router(scope, receive, send)

    def _candidates(self, method: str, path: str) -> list[_Entry]:
        """The routes whose method, length and fixed beginning fit, in the order of their declaration."""
        assert self._entries is not None
        count = path.count("/")
        lengths = self._beginnings.get((method, count))
        if lengths is None:
            return []
        segments = path.split("/")
        found: list[_Entry] = []
        for length in lengths:
            found += self._entries.get((method, count, "/".join(segments[:length])), ())
        if len(lengths) > 1 and len(found) > 1:
            found.sort(key=lambda entry: entry.order)
        return found

    def _is_foreign(self, order: int, path: str) -> bool:
        """Whether something that is no API route was declared before `order` and takes this path."""
        return any(before < order and pattern.match(path) for before, pattern in self._foreign)

    def _indexed(self) -> dict[_Key, list[_Entry]]:
        entries: dict[_Key, list[_Entry]] = {}
        lengths: dict[tuple[str, int], set[int]] = {}
        for order, context in enumerate(iter_route_contexts(self._router.routes)):
            if isinstance(context.original_route, WebSocketRoute):
                continue
            pattern = getattr(context, "path_regex", None) or re.compile("")
            if not _is_plain(context):
                self._foreign.append((order, pattern))
                continue
            entry = _Entry(order, context, pattern, simple_get(context) or context.app)
            for key, length in _keys(context):
                entries.setdefault(key, []).append(entry)
                lengths.setdefault(key[:2], set()).add(length)
        self._beginnings = {key: tuple(sorted(found, reverse=True)) for key, found in lengths.items()}
        return entries


def _is_plain(context: RouteContext) -> bool:
    """Whether it is an API route whose parameters are one segment each."""
    return isinstance(context.original_route, APIRoute) and not any(
        isinstance(one, PathConvertor) for one in context.param_convertors.values()
    )


def _keys(context: RouteContext) -> Iterator[tuple[_Key, int]]:
    template = context.path_format or ""
    segments = template.split("/")
    fixed = next((number for number, segment in enumerate(segments) if "{" in segment), len(segments))
    for method in context.methods or ():
        yield (method, template.count("/"), "/".join(segments[:fixed])), fixed


def _entered(scope: Scope, router: APIRouter, entry: _Entry, params: dict[str, Any]) -> Scope:
    """The scope as FastAPI's own routing leaves it."""
    scope.setdefault("router", router)
    scope["endpoint"] = entry.context.endpoint
    scope["path_params"] = {**scope.get("path_params", {}), **params}
    scope["route"] = entry.context.original_route
    if entry.context._route_context is not None:
        scope.setdefault("fastapi", {})["effective_route_context"] = entry.context._route_context
    return scope
