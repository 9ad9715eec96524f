"""The index finds the route that FastAPI's own routing would find, whatever the routes are."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import JSONResponse, Response

from libs.common.web.measure import route_of
from libs.common.web.routing import IndexedRouter
from tests.unit.web.browser import Answer, ask

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]

segments = st.sampled_from(["a", "b", "{x}", "a-{x}", "{n:int}", "{u:uuid}"])
templates = st.lists(segments, max_size=3, unique=True).filter(
    lambda parts: sum("{x}" in part for part in parts) <= 1
).map(lambda parts: "".join(f"/{part}" for part in parts))  # fmt: skip
tails = st.sampled_from(["", "", "", "/{rest:path}"])
methods = st.sets(st.sampled_from(["GET", "PUT"]), min_size=1)
declared = st.tuples(templates, tails, methods, st.integers(0, 3))
paths = st.lists(
    st.sampled_from(["a", "b", "c", "a-1", "7", "", "0199a0c0-0000-7000-8000-000000000001", "a\n"]), max_size=4
).map(lambda parts: "".join(f"/{part}" for part in parts) or "/")  # fmt: skip


def endpoint(number: int) -> Endpoint:
    """A route that says which one it is and what it was given."""

    async def answer(request: Request) -> Response:
        params = {name: str(value) for name, value in request.path_params.items()}
        return JSONResponse({"number": number, "params": params, "label": route_of(request.scope)})

    return answer


def town(routes: list[tuple[str, str, set[str], int]]) -> FastAPI:
    """An application with these routes, some of them at the top, some included at one, two or three levels."""
    app = FastAPI(redirect_slashes=False, telemetry={"tracing": False, "metrics": False, "logs": False})
    for number, (template, tail, allowed, depth) in enumerate(routes):
        target: FastAPI | APIRouter = app if depth == 0 else APIRouter()
        target.add_api_route(f"{template}{tail}" or "/", endpoint(number), methods=list(allowed), response_model=None)
        for _ in range(1, depth):
            outer = APIRouter()
            outer.include_router(target)  # type: ignore[arg-type]
            target = outer
        if target is not app:
            app.include_router(target, prefix="/a" if not template else "")  # type: ignore[arg-type]
    return app


async def both(app: FastAPI, method: str, path: str) -> tuple[Answer, Answer]:
    """What FastAPI answers without the index, and with it."""
    app.middleware_stack = None
    plain = await ask(app, method, path)
    router = app.router
    app.router = IndexedRouter(router)  # type: ignore[assignment]
    app.middleware_stack = None
    indexed = await ask(app, method, path)
    app.router = router
    return plain, indexed


@given(
    st.lists(declared, min_size=1, max_size=8),
    st.lists(paths, min_size=1, max_size=6),
    st.sampled_from(["GET", "PUT", "POST"]),
)
@settings(deadline=None)
async def test_the_index_answers_as_fastapi_does(
    routes: list[tuple[str, str, set[str], int]], asked: list[str], method: str
) -> None:
    app = town(routes)
    for path in asked:
        plain, indexed = await both(app, method, path)
        assert (indexed.status, indexed.body) == (plain.status, plain.body)


async def test_a_mount_declared_before_a_route_keeps_its_paths() -> None:
    app = FastAPI()
    inner = FastAPI()
    inner.add_api_route("/{x}", endpoint(1), response_model=None)
    app.mount("/a", inner)
    app.add_api_route("/a/{x}", endpoint(2), response_model=None)
    app.add_api_route("/b/{x}", endpoint(3), response_model=None)
    for path, number in (("/a/1", 1), ("/b/1", 3)):
        plain, indexed = await both(app, "GET", path)
        assert plain.json["number"] == indexed.json["number"] == number


async def test_a_mount_declared_after_a_route_leaves_it_alone() -> None:
    app = FastAPI()
    app.add_api_route("/a/{x}", endpoint(2), response_model=None)
    app.mount("/a", FastAPI())
    plain, indexed = await both(app, "GET", "/a/1")
    assert plain.json == indexed.json == {"number": 2, "params": {"x": "1"}, "label": "/a/{x}"}
