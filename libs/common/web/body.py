"""Reading requests strictly: what is ambiguous, oversized or unknown is refused before a route sees it.

`StrictRoute` is the route class of every application: JSON bodies by the rules of `parse_json`, the
right content type, and no query parameter that the route does not know.
"""

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, ClassVar, NoReturn
from urllib.parse import parse_qsl

from fastapi import params, routing
from fastapi._compat import ModelField, field_annotation_is_sequence
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import _get_flat_fields_from_params
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from libs.common.errors import BadRequest, ReeveError
from libs.common.events.envelope import depth_exceeds
from libs.common.web.query import QueryOf

MOST_BODY_BYTES = 1024 * 1024
MOST_DEPTH = 32
MOST_KEYS = 10_000
MOST_DIGITS = 20
MOST_FORM_FIELDS = 100
OTHERS = "*"
"""Among the names that a route knows: others are passed over, as OAuth demands of answers (RFC 6749, 4.1.2)."""
_MOST_INTEGER = 2**63 - 1
_MANY_DIGITS = re.compile(rb"[0-9]{19}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_TOO_DEEP = f"it is nested deeper than {MOST_DEPTH} levels"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class UnsupportedMediaType(ReeveError):
    """The body is of another type than the route reads."""

    status = 415
    default_code = "unsupported_media_type"


class StrictRequest(Request):
    """A request whose `json()` follows `parse_json`, for routes that read the body themselves too."""

    _parsed: Any
    _is_parsed = False

    async def json(self) -> Any:
        """The body as JSON. Raises 400 `malformed_json` or 415."""
        if not self._is_parsed:
            if not is_json(self.headers.get("content-type")):
                raise UnsupportedMediaType("the body must be application/json")
            if self.headers.get("content-encoding", "identity").lower() != "identity":
                raise UnsupportedMediaType("a compressed body is not read")
            self._parsed = parse_json(await self.body())
            self._is_parsed = True
        return self._parsed


class Door(ABC):
    """A dependency that decides whether the caller may come in; it speaks before the request is looked at."""

    permission: str | None = None
    """What the caller must hold, for the description of the API."""
    schemes: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Security schemes by name, each of which opens the door by itself, beside the one that FastAPI describes."""

    @abstractmethod
    async def __call__(self, request: Request) -> object:
        """Let the caller in, or raise. Asked twice in one request, it answers the same."""


class StrictRoute(routing.APIRoute):
    """The route class of every application and router of Reeve."""

    def get_route_handler(self) -> Handler:
        """FastAPI's handler, behind the checks that need only the declaration of the route."""
        handler = super().get_route_handler()
        route = _declared(self)
        known = query_names(route)
        doors = doors_of(route.dependant)
        reads_json = route.body_field is not None and not isinstance(route.body_field.field_info, params.Form)

        async def strict(request: Request) -> Response:
            for door in doors:
                await door(request)
            if request.scope["query_string"]:
                check_query(request, known)
            checked = StrictRequest(request.scope, request.receive)
            if reads_json and await checked.body():
                await checked.json()
            return await handler(checked)

        return strict


def parse_json(body: bytes) -> Any:
    """The JSON value of `body` (RFC 8259 in UTF-8, within the limits of I-JSON, RFC 7493). Raises 400 `malformed_json`.

    Refused: duplicate keys, NaN and Infinity, integers beyond 64 bits, more than 32 levels, more than
    10,000 keys, strings that hold U+0000 or half a surrogate pair (no database stores them).
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_Objects(),
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_bounded if _MANY_DIGITS.search(body) else None,
        )
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _malformed(_TOO_DEEP) from None
    if body.count(b"[") + body.count(b"{") > MOST_DEPTH and depth_exceeds(value, MOST_DEPTH):
        raise _malformed(_TOO_DEEP)
    if b"\\u" in body:
        _check_texts(value)
    return value


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of an `application/x-www-form-urlencoded` body; a repeated one is 400 (RFC 6749, 3.2)."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MOST_FORM_FIELDS,
        )
    except ValueError:
        raise BadRequest("the body is not a form", code="malformed_form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs) or any("\0" in text for pair in pairs for text in pair):
        raise BadRequest("a field of the form is repeated or holds U+0000", code="malformed_form")
    return fields


def is_json(content_type: str | None) -> bool:
    """Whether a body of this content type is read as JSON: `application/json` or `application/<x>+json`."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


class _Objects:
    """Builds the objects of one document: no key twice, and not too many keys in all."""

    def __init__(self) -> None:
        self._keys = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._keys += len(pairs)
        if self._keys > MOST_KEYS:
            raise _malformed(f"it has more than {MOST_KEYS} keys")
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _malformed("a key is there twice")
        return found


def _no_constant(_name: str) -> NoReturn:
    raise _malformed("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _malformed("a number is out of range")
    return number


def _bounded(text: str) -> int:
    if len(text) > MOST_DIGITS or not -_MOST_INTEGER - 1 <= int(text) <= _MOST_INTEGER:
        raise _malformed("an integer must lie within 64 bits")
    return int(text)


def _check_texts(value: Any) -> None:
    """Look at every string, keys included; never recurses."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                if _UNSTORABLE.search(text):
                    raise _malformed("a string holds U+0000 or half a surrogate pair")
            case dict() as found:
                waiting.extend(found)
                waiting.extend(found.values())
            case list() as items:
                waiting.extend(items)
            case _:
                pass


def _declared(route: routing.APIRoute) -> Any:
    """The route as it is included: FastAPI adds the including router's dependencies in a context of its own."""
    effective = routing._effective_route_context_var.get()
    return effective if effective is not None and effective.original_route is route else route


def doors_of(dependant: Dependant) -> list[Door]:
    """The doors that a route declares, directly or through what it depends on."""
    own = [dependant.call] if isinstance(dependant.call, Door) else []
    return own + [door for below in dependant.dependencies for door in doors_of(below)]


def query_names(route: Any) -> dict[str, bool]:
    """The query parameters that the route and its dependencies know, and whether each may be repeated."""
    known = {
        field.alias: field_annotation_is_sequence(field.field_info.annotation)
        for field in _query_fields(route.dependant)
    }
    for parser in queries_of(route.dependant):
        known.update(parser.names)
        if parser.takes_others:
            known[OTHERS] = False
    if "DELETE" in route.methods:
        known.setdefault("confirm", False)
    return known


def _query_fields(dependant: Dependant) -> Iterator[ModelField]:
    """Every query parameter, those that a model declares one by one included."""
    yield from _get_flat_fields_from_params(dependant.query_params)
    for below in dependant.dependencies:
        yield from _query_fields(below)


def queries_of(dependant: Dependant) -> Iterator[QueryOf[Any]]:
    """The parsers of whole query strings among a route's dependencies."""
    if isinstance(dependant.call, QueryOf):
        yield dependant.call
    for below in dependant.dependencies:
        yield from queries_of(below)


def check_query(request: Request, known: dict[str, bool]) -> None:
    """Raise 422 for a query parameter that is unknown, or repeated where it may not be."""
    given = request.query_params.multi_items()
    errors = []
    seen: set[str] = set()
    for name, _ in given:
        if name not in known and OTHERS not in known:
            errors.append({"type": "extra_forbidden", "loc": ("query", name), "msg": "Unknown query parameter"})
        elif name in seen and not known.get(name):
            errors.append({"type": "repeated", "loc": ("query", name), "msg": "Given more than once"})
        seen.add(name)
    if errors:
        raise RequestValidationError(errors)


def _malformed(reason: str) -> BadRequest:
    return BadRequest(f"the body is not acceptable JSON: {reason}", code="malformed_json")
