"""`query_of` reads a query string as FastAPI reads the same parameters, only when there is one."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from libs.common.web.app import create_app
from libs.common.web.body import StrictRoute
from libs.common.web.query import query_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Filters(BaseModel):
    """What may be asked."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200, description="How many.")] = 50
    is_public: bool | None = None
    colour: list[Colour] = []
    text: Annotated[list[Annotated[str, Field(min_length=1, max_length=5)]], Field(max_length=3)] = []
    sort: Literal["up", "down"] = "up"
    q: Annotated[str | None, Field(max_length=10)] = None


class Answered(BaseModel):
    """What somebody else's redirect brings, and more."""

    model_config = ConfigDict(extra="ignore")

    code: Annotated[str | None, Field(max_length=5)] = None


def application() -> FastAPI:
    app = create_app(service="shop", title="Shop", version="0", checks={}, openapi_url="/openapi.json")
    routes = APIRouter(route_class=StrictRoute)

    @routes.get("/ours")
    async def ours(query: Annotated[Filters, Depends(query_of(Filters))]) -> Filters:
        return query

    @routes.get("/fastapi")
    async def fastapis(query: Annotated[Filters, Query()]) -> Filters:
        return query

    @routes.get("/callback")
    async def callback(query: Annotated[Answered, Depends(query_of(Answered))]) -> Answered:
        return query

    app.include_router(routes)
    return app


APP = application()


async def get(path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=APP), base_url="http://shop.test") as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {}), ("limit=7", {"limit": 7}), ("colour=red&colour=blue", {"colour": ["red", "blue"]}),
        ("colour=red", {"colour": ["red"]}), ("is_public=true", {"is_public": True}), ("q=", {"q": ""}),
        ("q=a%20b%2Bc", {"q": "a b+c"}), ("q=a+b", {"q": "a b"}), ("text=%C3%BC", {"text": ["ü"]}),
    ],
)  # fmt: skip
async def test_what_was_asked_is_read(query: str, found: dict[str, Any]) -> None:
    answer = await get(f"/ours?{query}")
    assert answer.json() == Filters().model_dump(mode="json") | found


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("limit=0", ["query", "limit"]), ("limit=1&limit=2", ["query", "limit"]), ("no_such=1", ["query", "no_such"]),
        ("colour=green", ["query", "colour", 0]), ("text=a&text=toolong", ["query", "text", 1]),
        ("text=a&text=b&text=c&text=d", ["query", "text"]), ("sort=sideways", ["query", "sort"]),
        ("Limit=1", ["query", "Limit"]), ("=1", ["query", ""]),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_422_and_says_where(query: str, place: list[str | int]) -> None:
    answer = await get(f"/ours?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"]["errors"][0]["loc"] == place


async def test_a_very_long_query_is_422() -> None:
    assert (await get("/ours?" + "&".join("text=a" for _ in range(300)))).status_code == 422


NAMES = st.sampled_from(["limit", "is_public", "colour", "text", "sort", "q", "other"])
VALUES = st.one_of(
    st.sampled_from(
        ["", "1", "200", "201", "-1", "1.0", "true", "off", "red", "blue", "up", "abc", "abcdef", " 7", "é+%&"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
async def test_it_reads_what_fastapi_reads(pairs: list[tuple[str, str]]) -> None:
    query = urlencode(pairs)
    own, theirs = await get(f"/ours?{query}"), await get(f"/fastapi?{query}")
    assert own.status_code == theirs.status_code
    if own.status_code == 200:
        assert own.json() == theirs.json()
    else:
        assert _errors(own) == _errors(theirs)


def _errors(answer: httpx.Response) -> list[tuple[list[str | int], str]]:
    return [(one["loc"], one["type"]) for one in answer.json()["detail"]["errors"]]


def test_the_description_shows_the_same_parameters() -> None:
    paths = APP.openapi()["paths"]
    own, theirs = ({one["name"]: one for one in paths[path]["get"]["parameters"]} for path in ("/ours", "/fastapi"))
    assert set(own) == set(theirs)
    for name, parameter in own.items():
        assert (parameter["in"], parameter["required"]) == (theirs[name]["in"], theirs[name]["required"])
        assert parameter.get("description") == theirs[name].get("description")
    assert own["limit"]["schema"]["maximum"] == 200
    assert own["colour"]["schema"]["items"]["enum"] == ["red", "blue"]


def test_every_field_needs_a_default() -> None:
    class Needy(BaseModel):
        needed: int

    with pytest.raises(ValueError, match="needed"):
        query_of(Needy)


@pytest.mark.parametrize(
    ("query", "status"),
    [("code=a", 200), ("code=a&state=b&%2A=c", 200), ("state=b", 200), ("code=a&code=b", 422), ("state=b&state=c", 422),
     ("code=toolong", 422)],
)  # fmt: skip
async def test_a_model_that_ignores_others_passes_them_over_and_still_takes_nothing_twice(
    query: str, status: int
) -> None:
    answer = await get(f"/callback?{query}")
    assert answer.status_code == status
    if status == 200:
        assert set(answer.json()) == {"code"}


async def test_a_star_is_no_way_around_a_strict_route() -> None:
    assert (await get("/ours?*=1&unknown=2")).status_code == 422
