"""Whether a request that a browser's cookie speaks for comes from a page of our own. Pure.

A browser sends its cookies along whoever makes it ask, so a cookie alone proves nothing about who wants the request.
What only a page of ours can make a browser send: its `Origin` (RFC 6454), `Sec-Fetch-Site: same-origin` (W3C Fetch
Metadata), and a header of our own, which no form can send and no script of another origin without a CORS preflight,
that nobody here answers. All that is there must fit; one of the first two must be there wherever something changes.
"""

import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import urlsplit

from libs.common.errors import Forbidden
from libs.common.web.body import is_json

MARK = "x-reeve-session"
"""The header of our own: at sign-in it asks for a cookie, later it says that the page knows of it."""
MARKED = "cookie"
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")
_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))

Kind = Literal["read", "write", "websocket"]


class Breach(StrEnum):
    """Which rule a request broke."""

    ORIGIN = "origin"
    SITE = "site"
    MARK = "mark"
    CONTENT_TYPE = "content_type"


_RULES = {
    Breach.ORIGIN: "a request with the session's cookie must come from a page of this platform's own origin",
    Breach.SITE: "a request with the session's cookie must be made by a page of the same origin (Sec-Fetch-Site)",
    Breach.MARK: f"a request with the session's cookie that changes something must bear X-Reeve-Session: {MARKED}",
    Breach.CONTENT_TYPE: "a body that comes with the session's cookie must be application/json",
}


class CsrfFailed(Forbidden):
    """Another page than one of ours may have made the browser ask."""

    default_code = "csrf_failed"

    def __init__(self, breach: Breach) -> None:
        super().__init__(_RULES[breach], rule=breach.value)


@dataclass(frozen=True, slots=True)
class Signs:
    """What a request says of the page that made it: each value of each header that counts."""

    origins: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()
    has_body: bool = False


def read_signs(scope: MutableMapping[str, Any]) -> Signs:
    """The signs of an ASGI scope."""
    found: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name, []).append(value.decode("latin-1"))
    lengths = found.get(b"content-length", [])
    return Signs(
        origins=tuple(found.get(b"origin", ())),
        sites=tuple(found.get(b"sec-fetch-site", ())),
        marks=tuple(found.get(MARK.encode("ascii"), ())),
        content_types=tuple(found.get(b"content-type", ())),
        has_body=b"transfer-encoding" in found or any(length != "0" for length in lengths),
    )


def kind_of(scope: MutableMapping[str, Any]) -> Kind:
    """Whether a request only reads. What is no safe method (RFC 9110, 9.2.1) may change something."""
    if scope["type"] == "websocket":
        return "websocket"
    return "read" if scope["method"] in _SAFE else "write"


def breach_of(signs: Signs, kind: Kind, *, allowed: frozenset[str]) -> Breach | None:
    """The first rule that a request breaks; None for one that a page of the `allowed` origins made, as far as its kind
    demands that to be certain. A WebSocket cannot bear a header of ours and always has its origin (RFC 6455, 10.2)."""
    if any(origin not in allowed for origin in signs.origins) or len(signs.origins) > 1:
        return Breach.ORIGIN
    fitting = ("same-origin", "none") if kind == "read" else ("same-origin",)
    if any(site not in fitting for site in signs.sites) or len(signs.sites) > 1:
        return Breach.SITE
    if kind == "read":
        return None
    if not signs.origins and (kind == "websocket" or not signs.sites):
        return Breach.ORIGIN
    if kind == "websocket":
        return None
    if signs.marks != (MARKED,):
        return Breach.MARK
    is_readable = len(signs.content_types) == 1 and is_json(signs.content_types[0])
    return Breach.CONTENT_TYPE if signs.has_body and not is_readable else None


def page_origin(url: str) -> str | None:
    """The origin of a URL as browsers write it (RFC 6454, 6.2), its default port left out. None where no page can have
    the cookie: browsers keep a `Secure` one for https alone, and for plain http on the machine itself."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if (
        not _HOST.fullmatch(host)
        or parts.scheme not in ("https", "http")
        or (parts.scheme == "http" and host not in _LOCAL)
    ):
        return None
    port = "" if parts.port in (None, {"https": 443, "http": 80}[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def page_origins(urls: Iterable[str]) -> frozenset[str]:
    """The origins of these URLs, of which pages may use the cookie."""
    return frozenset(origin for url in urls if (origin := page_origin(url)) is not None)
