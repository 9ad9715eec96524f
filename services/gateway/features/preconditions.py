"""What a write may demand first: a version by `If-Match`, a confirmation by `?confirm=true`."""

import re

from fastapi import Request

from libs.common.errors import BadRequest, PreconditionFailed

_ETAG = re.compile(r'"([1-9][0-9]{0,9})"')
MOST_VERSION = 2**31 - 1


def expected_version(request: Request) -> int | None:
    """The version that `If-Match` names (RFC 9110, 13.1.1); None without one or with `*`."""
    offered = request.headers.get("if-match")
    if offered is None or offered.strip() == "*":
        return None
    match = _ETAG.fullmatch(offered.strip())
    if match is None or int(match.group(1)) > MOST_VERSION:
        # A weak, foreign or listed tag can never be the current strong one.
        raise PreconditionFailed('If-Match must be one strong ETag such as "3" and name the current version')
    return int(match.group(1))


def is_unchanged(request: Request, version: int) -> bool:
    """Whether the caller has this version already, by `If-None-Match` (RFC 9110, 13.1.2: weak comparison)."""
    offered = request.headers.get("if-none-match")
    if offered is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in offered.split(",")]
    return "*" in tags or f'"{version}"' in tags


def creates_only(request: Request) -> bool:
    """Whether the write may only make something new, by `If-None-Match: *` (RFC 9110, 13.1.2)."""
    return request.headers.get("if-none-match", "").strip() == "*"


def require_confirmation(confirm: bool | None) -> None:
    """Raise 400 `confirmation_required` unless the caller confirmed."""
    if not confirm:
        raise BadRequest("this cannot be undone: repeat it with ?confirm=true", code="confirmation_required")
