"""Reads, for the gateway alone. Bodies are exactly the public ones; the gateway streams them on unchanged."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

import orjson
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import Field

from libs.common.database.engine import Database
from libs.common.events.settings import KEY_PATTERN, ConfigType
from libs.common.identity import Caller
from libs.common.web.body import StrictRoute
from libs.common.web.caller import asserted
from libs.common.web.paging import (
    CursorKey,
    Page,
    PageQuery,
    Paging,
    Position,
    counted,
    decode_cursor,
    encode_cursor,
    listing,
)
from libs.common.web.query import query_of
from services.settings.models.bodies import history_body, public_body, setting_body
from services.settings.models.errors import SettingNotFound
from services.settings.store import history, settings
from services.settings.store.settings import MOST_CATEGORIES, MOST_PUBLIC, Filters

AUDIENCE = "settings"
PUBLIC_SECONDS = 10
"""How long anybody may keep the public settings without asking again."""

Reader = Annotated[Caller, Depends(asserted("settings:read", audience=AUDIENCE))]
Anybody = Annotated[Caller, Depends(asserted("public", audience=AUDIENCE))]
Key = Annotated[str, Path(pattern=KEY_PATTERN)]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]

router = APIRouter(prefix="/internal/settings", route_class=StrictRoute)


class ListQuery(PageQuery):
    """The list's filters."""

    category: Text | None = None
    config_type: ConfigType | None = None
    is_public: bool | None = None
    q: Text | None = None


class _Bound(TypedDict):
    resource: str
    filters: Mapping[str, Any]
    sort: str


class _Reading:
    """One page of one list: where it begins, and the cursor to what comes after."""

    def __init__(self, request: Request, page: Page, *, resource: str, filters: Mapping[str, Any], sort: str) -> None:
        self._key: CursorKey = request.app.state.cursor_key
        self._bound = _Bound(resource=resource, filters=filters, sort=sort)
        self.page = page

    def begin(self) -> Position:
        """The position after which the page begins, None at the start. Raises 422 `invalid_cursor`."""
        if self.page.cursor is None:
            return None
        return decode_cursor(self._key, self.page.cursor, **self._bound)[0]

    def answer(self, plural: str, bodies: Sequence[Any], count: int, positions: Sequence[Position]) -> Response:
        """The page, given one body and position more than its limit where there are more."""
        limit = self.page.limit
        more = len(bodies) > limit
        cursor = encode_cursor(self._key, [positions[limit - 1]], **self._bound) if more else None
        total, exact = counted(count)
        return _json(listing(plural, bodies[:limit], total=total, exact=exact, page=self.page, next_cursor=cursor))


@router.get("")
async def list_settings(
    request: Request, _: Reader, query: Annotated[ListQuery, Depends(query_of(ListQuery))]
) -> Response:
    """All settings that fit the filters, by key."""
    filters = Filters(query.category, query.config_type, query.is_public, query.q)
    page = query.page()
    reading = _Reading(request, page, resource="settings", filters=query.named(), sort="key")
    after = str(reading.begin() or "")
    async with _database(request).direct() as session:
        found, count = await settings.search(session, filters, after_key=after, skip=page.skip, limit=page.limit + 1)
    bodies = [setting_body(one, _raw, reveals_sensitive=True) for one in found]
    return reading.answer("settings", bodies, count, [one.key for one in found])


@router.get("/public")
async def list_public_settings(request: Request, _: Anybody) -> Response:
    """What anybody may know: the public settings and nothing else."""
    async with _database(request).direct() as session:
        found = await settings.public(session)
    content = orjson.dumps(_whole("settings", [public_body(one, _raw) for one in found], most=MOST_PUBLIC))
    tag = hashlib.sha256(content).hexdigest()[:32]
    return _tagged(request, content, tag=tag, headers={"Cache-Control": f"public, max-age={PUBLIC_SECONDS}"})


@router.get("/categories")
async def list_categories(request: Request, _: Reader) -> Response:
    """The categories that occur, with counts."""
    async with _database(request).direct() as session:
        found = await settings.categories(session)
    bodies = [{"category": category, "count": count} for category, count in found]
    return _json(_whole("categories", bodies, most=MOST_CATEGORIES))


@router.get("/{key}")
async def view_setting(request: Request, _: Reader, key: Key) -> Response:
    """One setting, with its version as `ETag`."""
    async with _database(request).direct() as session:
        setting = await settings.get(session, key)
    content = orjson.dumps(setting_body(setting, _raw, reveals_sensitive=True))
    return _tagged(request, content, tag=str(setting.version), headers={"Cache-Control": "no-store"})


@router.get("/{key}/history")
async def view_history(request: Request, _: Reader, page: Paging, key: Key) -> Response:
    """The versions of a setting, newest first."""
    reading = _Reading(request, page, resource="setting_history", filters={"key": key}, sort="-version")
    before = reading.begin()
    assert before is None or isinstance(before, int)
    async with _database(request).direct() as session:
        found = await history.search(session, key, before_version=before, skip=page.skip, limit=page.limit + 1)
    if found is None:
        raise SettingNotFound(key)
    versions, count = found
    bodies = [history_body(one, _raw) for one in versions]
    return reading.answer("history", bodies, count, [one.version for one in versions])


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _raw(text: str) -> object:
    """A stored JSON text as it is: numbers keep every digit."""
    return orjson.Fragment(text)


def _whole(plural: str, bodies: Sequence[Any], *, most: int) -> dict[str, Any]:
    """A list that is answered in one piece, up to `most`."""
    page = Page(limit=most)
    return listing(plural, bodies, total=len(bodies), exact=len(bodies) < most, page=page, next_cursor=None)


def _json(body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


def _tagged(request: Request, content: bytes, *, tag: str, headers: Mapping[str, str]) -> Response:
    """The content with its strong `ETag`, or 304 when the caller has it (RFC 9110, 13.1.2)."""
    etag = f'"{tag}"'
    sent = {**headers, "ETag": etag}
    offered = request.headers.get("if-none-match")
    if offered is not None and _names(offered, etag):
        return Response(status_code=304, headers=sent)
    return Response(content, media_type="application/json", headers=sent)


def _names(offered: str, etag: str) -> bool:
    """Whether `If-None-Match` names this tag; the comparison is the weak one."""
    tags = {tag.strip().removeprefix("W/") for tag in offered.split(",")}
    return "*" in tags or etag in tags
