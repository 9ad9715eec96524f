"""By what a request says who makes it: the `Authorization` header, or the cookie of a browser's session.

Where there is an `Authorization` header it decides alone, whether or not it holds: no page of another origin can add
one, so such a request is nobody's but its maker's. Without one the cookie counts, and then the request must show that
a page of our own made it.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any

from prometheus_client import Counter

from libs.common.errors import Unauthenticated
from libs.common.identity import Actor
from services.gateway.access.browser_cookies import SESSION_COOKIE, Ticket, values_of
from services.gateway.access.cross_site import MARK, CsrfFailed, breach_of, kind_of, read_signs
from services.gateway.access.origins import read_headers
from services.gateway.access.sessions import AccessControl, invalid_session
from services.gateway.access.tokens import invalid_token

Scope = MutableMapping[str, Any]

BY_COOKIE = "by_cookie"
"""In a request's state: the caller was known by their cookie."""

COOKIE_SCHEME: Mapping[str, Mapping[str, str]] = {
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "For pages of the platform's own origin. What changes something needs `X-Reeve-Session: cookie`.",
    }
}
"""How the description of the API calls the cookie."""

CSRF_REFUSED = Counter(
    "reeve_csrf_refused_total", "Requests with a session's cookie that no page of our own made.", ("rule",)
)


async def who_calls(access: AccessControl, scope: Scope, authorization: bytes | None) -> Actor:
    """Who a request's credentials stand for. Raises `Unauthenticated`."""
    if authorization is None:
        values = values_of(scope, SESSION_COOKIE)
        if len(values) > 1:
            raise invalid_session("more than one session cookie came; none of them counts")
        if values:
            scope["state"][BY_COOKIE] = True
            return await access.authenticate_cookie(values[0])
    return await access.authenticate(bearer(authorization))


async def still_calls(access: AccessControl, scope: Scope) -> Actor:
    """Who the credentials of a request that is still answered stand for now. Raises `Unauthenticated`."""
    _, _, authorization = read_headers(scope, trusted=())
    return await who_calls(access, scope, authorization)


def check_page(access: AccessControl, scope: Scope) -> None:
    """Raise `CsrfFailed`, and count it, unless a page of our own made the request."""
    breach = breach_of(read_signs(scope), kind_of(scope), allowed=access.page_origins)
    if breach is not None:
        CSRF_REFUSED.labels(breach.value).inc()
        raise CsrfFailed(breach)


def asks_for_cookie(scope: Scope) -> bool:
    """Whether a page asks to be signed in by cookie."""
    wanted = MARK.encode("ascii")
    return any(name == wanted for name, _ in scope["headers"])


def presented(access: AccessControl, scope: Scope) -> Ticket | None:
    """The session whose cookie a sign-in finds in the browser, whoever planted it there."""
    values = values_of(scope, SESSION_COOKIE)
    return access.cookies.read(values[0]) if len(values) == 1 else None


def proved_at(access: AccessControl, scope: Scope, actor: Actor) -> int | None:
    """When a caller who was let in proved who they are, in seconds since 1970; None where nobody can say."""
    if scope["state"].get(BY_COOKIE):
        return int(actor.proved_at.timestamp()) if actor.proved_at is not None else None
    _, _, authorization = read_headers(scope, trusted=())
    return access.proved_at(bearer(authorization))


def bearer(header: bytes | None) -> str:
    """The token of an `Authorization` header (RFC 6750, 2.1)."""
    if header is None:
        raise Unauthenticated("sign in first: this route needs a bearer token")
    scheme, _, token = header.partition(b" ")
    if scheme.lower() != b"bearer":
        raise invalid_token("the Authorization header must be: Bearer, a space, and the access token")
    return token.strip(b" ").decode("latin-1")
