"""A small application with one route of each kind, for the tests of the web layer."""

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from libs.common.errors import Conflict, Forbidden, RateLimited, ReeveError, Unavailable
from libs.common.web.app import create_app
from libs.common.web.body import StrictRoute
from libs.common.web.middleware import Limits
from libs.common.web.paging import Paging, listing


class Article(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="forbid")

    name: str
    count: int = 0
    password: str = Field(default="", max_length=64)
    details: dict[str, Any] = Field(default_factory=dict)


class PermissionCheckFailed(ReeveError):
    """A 500 with a code of its own."""

    status = 500
    default_code = "permission_check_failed"


def open_shop(**options: Any) -> FastAPI:
    """The application."""
    app = create_app(service="shop", title="Shop", version="1.0", checks={}, public=True, **options)
    app.include_router(_articles(), prefix="/api/shop")
    return app


@cache
def the_shop() -> FastAPI:
    """One application as it is by default, for tests that leave nothing in it."""
    return open_shop()


@cache
def _articles() -> APIRouter:
    router = APIRouter(prefix="/articles", route_class=StrictRoute)

    @router.get("")
    async def list_articles(page: Paging, tag: Annotated[list[str] | None, Query()] = None) -> dict[str, Any]:
        return listing("articles", tag or [], total=0, exact=True, page=page, next_cursor=None)

    @router.put("/{name}")
    async def put_article(name: str, article: Article) -> Article:
        return article

    @router.get("/{name}")
    async def get_article(name: str, request: Request) -> dict[str, Any]:
        return {"name": name, "state": {key: request.state[key] for key in ("request_id", "traceparent")}}

    @router.delete("/{name}", status_code=204)
    async def delete_article(name: str) -> None:
        return None

    @router.post("/raw")
    async def read_raw(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @router.post("/fail/{kind}")
    async def fail(kind: str) -> None:
        raise FAILURES[kind]

    return router


FAILURES: dict[str, Exception] = {
    "conflict": Conflict("it exists already", code="article_exists"),
    "forbidden": Forbidden("no", code="admin_permission_required", required_permission="x:y", user_permission="read"),
    "limited": RateLimited("slow down", retry_after_seconds=7),
    "unavailable": Unavailable("later"),
    "check": PermissionCheckFailed("the permission could not be checked"),
    "crash": RuntimeError("password=hunter2 in the inside"),
    "group": ExceptionGroup("tasks", [Conflict("in a task group")]),
}

TIGHT = Limits(body_bytes=1000, body_seconds=0.05, in_flight=2)
