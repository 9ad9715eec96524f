"""Paging of lists: `limit` with either `skip` or a signed `cursor`, and the one shape of a list's answer.

A cursor is opaque to the caller, and holds only for the list, filters, sort and reader it was made for
and for a day. Anything else is 422 `invalid_cursor`.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import orjson
from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from libs.common.errors import Invalid

MOST_COUNT = 10_000
"""Lists count up to here and say that the total is not exact beyond."""
MOST_SKIP = 10_000
MOST_LIMIT = 200
CURSOR_SECONDS = 24 * 3600
_MAC_BYTES = 16
_MOST_CURSOR_CHARACTERS = 2048

Position = str | int | None
"""One value of the sort key at which the next page begins; times travel as text or microseconds."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for. `cursor` is what the caller sent, not yet checked."""

    limit: int = 50
    skip: int = 0
    cursor: str | None = None


async def requested_page(
    limit: Annotated[int, Query(ge=1, le=MOST_LIMIT, description="How many items at most.")] = 50,
    skip: Annotated[int, Query(ge=0, description="How many items to leave out; at most 10,000.")] = 0,
    cursor: Annotated[
        str | None, Query(max_length=_MOST_CURSOR_CHARACTERS, description="`next_cursor` of the page before.")
    ] = None,
) -> Page:
    """The page that the query parameters ask for. Raises 422 `use_cursor` past 10,000."""
    return _checked(Page(limit, skip, cursor))


def _checked(page: Page) -> Page:
    if page.skip > MOST_SKIP:
        raise Invalid(f"skip must be at most {MOST_SKIP}, got {page.skip}; go on with next_cursor", code="use_cursor")
    if page.cursor is not None and page.skip:
        raise Invalid("skip and cursor cannot be combined", code="invalid_cursor")
    return page


class PageQuery(BaseModel):
    """The paging members of a list's query, for a model that adds its filters; used with `query_of`."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MOST_LIMIT, description="How many items at most.")] = 50
    skip: Annotated[int, Field(ge=0, description="How many items to leave out; at most 10,000.")] = 0
    cursor: Annotated[
        str | None, Field(max_length=_MOST_CURSOR_CHARACTERS, description="`next_cursor` of the page before.")
    ] = None

    def page(self) -> Page:
        """The page asked for. Raises 422 `use_cursor` past 10,000."""
        return _checked(Page(self.limit, self.skip, self.cursor))

    def named(self) -> dict[str, Any]:
        """The filters that were given, for a cursor to be bound to."""
        return self.model_dump(mode="json", exclude={"limit", "skip", "cursor"}, exclude_none=True)


Paging = Annotated[Page, Depends(requested_page)]


class CursorKey:
    """The secret (at least 16 bytes) that a service signs its cursors with."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        if len(secret) < _MAC_BYTES:
            raise ValueError(f"a cursor key must have at least {_MAC_BYTES} bytes, got {len(secret)}")
        self._secret = hashlib.sha256(b"reeve cursor v1\0" + secret).digest()
        self.clock = clock

    def mac(self, payload: bytes, bound: bytes) -> bytes:
        """16 bytes of HMAC-SHA-256 over the payload and what it is bound to."""
        return hmac.new(self._secret, len(payload).to_bytes(4) + payload + bound, hashlib.sha256).digest()[:_MAC_BYTES]


def encode_cursor(
    key: CursorKey,
    position: Sequence[Position],
    *,
    resource: str,
    filters: Mapping[str, Any],
    sort: str = "",
    subject: str = "",
) -> str:
    """A cursor that goes on after `position` in the list `resource` under these very filters."""
    payload = orjson.dumps([int(key.clock()) + CURSOR_SECONDS, *position])
    return _text(payload + key.mac(payload, _bound(resource, filters, sort, subject)))


def decode_cursor(
    key: CursorKey,
    cursor: str,
    *,
    resource: str,
    filters: Mapping[str, Any],
    sort: str = "",
    subject: str = "",
) -> list[Position]:
    """The position that `encode_cursor` was given. Raises 422 `invalid_cursor` for any other text or list."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raise _invalid("it was changed") from None
    payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    # The text must be the only one of its bytes: base64 decoders overlook spare bits and foreign characters.
    if _text(raw) != cursor or not hmac.compare_digest(mac, key.mac(payload, _bound(resource, filters, sort, subject))):
        raise _invalid("it was changed, or it belongs to another list or other filters")
    expires, *position = cast("list[Position]", orjson.loads(payload))
    if not isinstance(expires, int) or expires <= key.clock():
        raise _invalid("it has expired")
    return position


def counted(count: int) -> tuple[int, bool]:
    """`total` and `total_is_exact` of a count that was capped at one more than `MOST_COUNT`."""
    return min(count, MOST_COUNT), count <= MOST_COUNT


def listing(
    plural: str,
    rows: Sequence[Any],
    *,
    total: int,
    exact: bool,
    page: Page,
    next_cursor: str | None,
    **more: Any,
) -> dict[str, Any]:
    """The body of a list's answer; `more` are further members such as `unread_count`."""
    return {
        plural: rows,
        "total": total,
        "total_is_exact": exact,
        "skip": page.skip,
        "limit": page.limit,
        "next_cursor": next_cursor,
        **more,
    }


def _bound(resource: str, filters: Mapping[str, Any], sort: str, subject: str) -> bytes:
    given = {name: value for name, value in filters.items() if value is not None}
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return hashlib.sha256(orjson.dumps([resource, given, sort, subject], default=str, option=options)).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def _invalid(reason: str) -> Invalid:
    return Invalid(f"the cursor is refused: {reason}", code="invalid_cursor")
