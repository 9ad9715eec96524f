"""A simple route answers exactly as FastAPI's own machinery would."""

from typing import Annotated
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from pydantic import BaseModel, ConfigDict

from libs.common.errors import Forbidden
from libs.common.web.app import Application, create_app
from libs.common.web.body import Door, StrictRoute
from libs.common.web.query import query_of
from libs.common.web.routing import IndexedRouter


class Gate(Door):
    """Lets nobody in who brings no key, before anything of the request is looked at."""

    async def __call__(self, request: Request) -> str:
        if "key" not in request.headers:
            raise Forbidden("bring a key")
        return request.headers["key"]


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    q: str | None = None
    limit: int = 50
    kind: list[str] = []


def an_app() -> Application:
    router = APIRouter(route_class=StrictRoute)

    @router.get("/things/{thing}/{number}")
    async def view(
        request: Request, key: Annotated[str, Depends(Gate())], thing: UUID, number: Annotated[int, Path(ge=1)],
        asked: Annotated[Asked, Depends(query_of(Asked))],
    ) -> Response:  # fmt: skip
        return Response(
            f"{key} {thing} {number} {asked.q} {asked.limit} {asked.kind} {request.url.path}", headers={"x": "1"}
        )

    app = create_app(service="test", title="t", version="1", checks={})
    app.include_router(router)
    return app


THING = "0199a0c0-0000-7000-8000-000000000001"


@pytest.mark.parametrize("headers", [{}, {"key": "k"}])
@pytest.mark.parametrize(
    "path",
    [
        f"/things/{THING}/3", f"/things/{THING}/0", "/things/x/3", f"/things/{THING}/x", f"/things/{THING}/3?q=a%20b",
        f"/things/{THING}/3?limit=7&kind=a&kind=b", f"/things/{THING}/3?limit=x", f"/things/{THING}/3?nope=1",
        f"/things/{THING}/3?q=1&q=2", f"/things/{THING}/3?q=", "/things", f"/things/{THING}/3/",
    ],
)  # fmt: skip
async def test_the_answers_are_the_same(path: str, headers: dict[str, str]) -> None:
    simply = await ask(an_app(), path, headers)
    assert simply == await ask(an_app(), path, headers, simple=False)


async def ask(
    app: Application, path: str, headers: dict[str, str], *, simple: bool = True
) -> tuple[int, bytes, str | None]:
    if not simple:
        app.middleware_stack = app.describe_edge(AsyncExitStackMiddleware(app.router))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        answer = await http.get(path, headers={**headers, "x-request-id": "12345678"})
    return answer.status_code, answer.content, answer.headers.get("x")


def test_the_sample_is_run_simply() -> None:
    indexed = IndexedRouter(an_app().router)
    entries = [entry for found in indexed._indexed().values() for entry in found if "things" in str(entry.context.path)]
    assert [type(entry.app).__name__ for entry in entries] == ["SimpleGet"]
