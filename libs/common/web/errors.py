"""Turns whatever went wrong into the one error shape of the API, and nothing else does.

`{"detail": {"error": "<code>", "message": "...", ...}}`; a 500 says nothing of the inside but the
request's id; a 422 names places and rules and never repeats what was sent.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from libs.common.errors import ReeveError

MOST_ERRORS = 50
PROBLEM_JSON = "application/problem+json"
_MOST_NAME_CHARACTERS = 100
_INTERNAL = "something went wrong on our side; the request id names it in our logs"

_CODES = {
    400: "bad_request", 401: "not_authenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 409: "conflict", 412: "version_conflict", 413: "body_too_large",
    415: "unsupported_media_type", 422: "validation_error", 429: "rate_limited", 503: "unavailable",
}  # fmt: skip
_MESSAGES = {404: "there is nothing at this path", 405: "this path does not take this method"}

_PLAIN_MESSAGES = {
    "union_tag_invalid": "Input does not name one of the expected kinds",
    "uuid_parsing": "Input should be a valid UUID",
    "url_parsing": "Input should be a valid URL",
    "json_invalid": "Input should be valid JSON",
}
"""Rules whose own message would quote the input."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is answered: the status, the `detail` member and headers of its own."""

    status: int
    detail: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def is_ours(self) -> bool:
        """Whether a person here must look at it, so that it is logged."""
        return self.status == HTTPStatus.INTERNAL_SERVER_ERROR


Shape = Callable[[Problem], tuple[bytes, str]]
"""Renders a problem as body and content type, for routes whose error shape a standard owns."""


class AnswerCutShort(Exception):
    """An answer that had begun cannot be finished; the connection is closed. It was logged already."""


def was_cut_short(error: BaseException) -> bool:
    """Whether `error` is an `AnswerCutShort`, alone or as the only one of a task group."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return was_cut_short(error.exceptions[0])
    return isinstance(error, AnswerCutShort)


def problem_of(error: BaseException, *, request_id: str) -> Problem:
    """What to answer for `error`. Total: every exception has an answer."""
    match error:
        case ReeveError():
            return _from_reeve(error, request_id)
        case RequestValidationError():
            return invalid(error.errors())
        case HTTPException():
            return _from_starlette(error, request_id)
        case ClientDisconnect():
            return Problem(400, {"error": "bad_request", "message": "the body ended early"}, {})
        case BaseExceptionGroup() if len(error.exceptions) == 1:
            return problem_of(error.exceptions[0], request_id=request_id)
        case _:
            detail = {"error": "internal_error", "message": _INTERNAL, "request_id": request_id}
            return Problem(500, detail, {})


def invalid(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """The 422 for these pydantic errors: the place, the rule and its type of each, at most 50."""
    found = list(errors)
    shown = [entry(error) for error in found[:MOST_ERRORS]]
    first = shown[0] if shown else {"loc": [], "msg": "the request is not valid"}
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    message = f"{place}: {first['msg']}{more}" if place else f"{first['msg']}{more}"
    return Problem(422, {"error": "validation_error", "message": message, "errors": shown}, {})


def entry(error: Mapping[str, Any]) -> dict[str, Any]:
    """One member of `errors`, without the input."""
    place = [
        part if isinstance(part, int) else str(part)[:_MOST_NAME_CHARACTERS]
        for part in error["loc"]
        # How a model is built inside is no place in the body.
        if not str(part).startswith("function-")
    ]
    return {"loc": place, "msg": _PLAIN_MESSAGES.get(error["type"], error["msg"]), "type": error["type"]}


def entries(error: ValidationError, *, below: Sequence[str | int] = ("body",)) -> list[dict[str, Any]]:
    """The members of `errors` for a model validated by hand, their places put below `below`."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [entry({**one, "loc": (*below, *one["loc"])}) for one in found[:MOST_ERRORS]]


def body_of(problem: Problem) -> tuple[bytes, str]:
    """The house shape."""
    return orjson.dumps({"detail": problem.detail}, default=str), "application/json"


def problem_json(problem: Problem) -> tuple[bytes, str]:
    """RFC 9457, for a caller that accepts `application/problem+json`: the same members, flat."""
    members = {name: value for name, value in problem.detail.items() if name not in ("message", "status")}
    title = HTTPStatus(problem.status).phrase
    body = {"type": "about:blank", "title": title, "status": problem.status, "detail": problem.detail["message"]}
    return orjson.dumps({**body, **members}, default=str), PROBLEM_JSON


def _from_reeve(error: ReeveError, request_id: str) -> Problem:
    detail = error.detail()
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        detail["request_id"] = request_id
    return Problem(error.status, detail, error.headers)


def _from_starlette(error: HTTPException, request_id: str) -> Problem:
    status = error.status_code
    headers = dict(error.headers or {})
    if isinstance(error.detail, dict) and "error" in error.detail:
        return Problem(status, error.detail, headers)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _CODES:
        return Problem(status, {"error": "internal_error", "message": _INTERNAL, "request_id": request_id}, headers)
    message = _MESSAGES.get(status) or str(error.detail)
    return Problem(status, {"error": _CODES.get(status, "bad_request"), "message": message}, headers)
