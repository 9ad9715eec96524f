"""No route is reachable without a declared guard, however it was added."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from libs.common.identity import Caller
from services.gateway.access.guard import GuardedRoute, UnguardedRoute, any_admin, check_routes, public, requires

MayRead = Annotated[Caller, Depends(requires("settings:read", action="list_settings"))]


def guarded_router() -> APIRouter:
    router = APIRouter(prefix="/settings", route_class=GuardedRoute)

    @router.get("")
    async def list_settings(caller: MayRead) -> None: ...

    return router


def bare_router() -> APIRouter:
    router = APIRouter(prefix="/bare")

    @router.delete("/{key}")
    async def forgotten(key: str) -> None: ...

    return router


def application(*routers: APIRouter) -> FastAPI:
    app = FastAPI(openapi_url=None)
    for router in routers:
        app.include_router(router, prefix="/api")
    return app


async def plain(request: Request) -> Response:
    return PlainTextResponse("x")


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("x")(scope, receive, send)


def test_guarded_routes_pass() -> None:
    check_routes(application(guarded_router()))


def test_probes_need_no_guard() -> None:
    app = application(guarded_router())
    app.router.routes.extend([Route("/healthz", plain), Route("/readyz", plain)])
    check_routes(app)


def test_a_forgotten_route_is_named_with_method_and_path() -> None:
    with pytest.raises(UnguardedRoute, match=r"DELETE /api/bare/\{key\}$"):
        check_routes(application(guarded_router(), bare_router()))


def test_a_route_deep_in_mounted_applications_is_found() -> None:
    app = application(guarded_router())
    below = application()
    below.mount("/inner", application(bare_router()))
    app.mount("/outer", below)
    with pytest.raises(UnguardedRoute, match=r"/outer/inner/api/bare"):
        check_routes(app)


def test_a_router_inside_a_router_is_found() -> None:
    outer = APIRouter(prefix="/outer")
    outer.include_router(bare_router())
    with pytest.raises(UnguardedRoute, match=r"/api/outer/bare"):
        check_routes(application(outer))


def test_plain_routes_raw_applications_and_documentation_are_found() -> None:
    app = FastAPI()
    app.router.routes.append(Route("/plain", plain))
    app.router.routes.append(Mount("/raw", app=raw))
    with pytest.raises(UnguardedRoute) as refused:
        check_routes(app)
    for path in ("/plain", "/raw", "/openapi.json", "/docs"):
        assert path in str(refused.value)


def test_what_is_meant_for_everybody_is_named_by_its_whole_path() -> None:
    app = FastAPI(docs_url="/docs", redoc_url=None, swagger_ui_oauth2_redirect_url=None)
    check_routes(app, open_paths=["/openapi.json", "/docs"])
    outer = FastAPI(openapi_url=None)
    outer.mount("/inner", app)
    with pytest.raises(UnguardedRoute):
        check_routes(outer, open_paths=["/openapi.json", "/docs"])


def test_a_websocket_without_guard_is_found_and_one_with_it_passes() -> None:
    app = FastAPI(openapi_url=None)

    @app.websocket("/open")
    async def open_socket(socket: WebSocket) -> None: ...

    with pytest.raises(UnguardedRoute, match="ANY /open"):
        check_routes(app)
    guarded = FastAPI(openapi_url=None)

    @guarded.websocket("/shut")
    async def shut_socket(socket: WebSocket, caller: MayRead) -> None: ...

    check_routes(guarded)


def test_a_guard_of_the_including_router_counts() -> None:
    app = FastAPI(openapi_url=None)
    app.include_router(bare_router(), dependencies=[Depends(any_admin(action="look"))])
    check_routes(app)


def test_a_public_route_is_declared_too() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/public")
    async def shown(caller: Annotated[Caller, Depends(public(action="look"))]) -> None: ...

    check_routes(app)


def test_a_permission_that_is_not_in_the_table_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="settings:raed"):
        requires("settings:raed", action="list_settings")
