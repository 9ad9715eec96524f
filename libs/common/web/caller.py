"""A service's door: who is calling, by the gateway's assertion and by nothing else.

Reader = Annotated[Caller, Depends(asserted("settings:read", audience="settings"))]
"""

from urllib.parse import quote

from fastapi import Request
from starlette.types import Scope

from libs.common.assertions import HEADER, AssertionVerifier
from libs.common.errors import Unauthenticated
from libs.common.identity import Caller
from libs.common.web.body import Door

_HEADER = HEADER.encode("ascii")


def asserted(permission: str, *, audience: str) -> "Asserted":
    """A dependency that gives the caller for whom the gateway checked `permission`, or answers 401.

    The application must have been made with the `AssertionVerifier` of that audience.
    """
    return Asserted(permission, audience)


class Asserted(Door):
    """The dependency; as a door it speaks before anything of the request is parsed."""

    def __init__(self, permission: str, audience: str) -> None:
        self._permission = permission
        self._audience = audience

    async def __call__(self, request: Request) -> Caller:
        """The caller: verified at the first asking in a request, remembered from then on."""
        state = request.scope["state"]
        known: tuple[Asserted, Caller] | None = state.get("asserted")
        if known is not None and known[0] is self:
            return known[1]
        verifier: AssertionVerifier | None = request.app.state.assertions
        if verifier is None or verifier.audience != self._audience:
            raise RuntimeError(f"the application has no assertion verifier for the audience {self._audience}")
        caller = verifier.verify(
            _sent(request.scope),
            permission=self._permission,
            method=request.scope["method"],
            target=target_of(request.scope),
            request_id=state.get("request_id"),
            correlation_id=state.get("correlation_id"),
            traceparent=state.get("traceparent"),
        )
        state["asserted"] = (self, caller)
        return caller


def target_of(scope: Scope) -> str:
    """The path and query of a request exactly as they were sent."""
    raw: bytes | None = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else quote(scope["path"])
    query: bytes = scope.get("query_string") or b""
    return f"{path}?{query.decode('latin-1')}" if query else path


def _sent(scope: Scope) -> str:
    found = [value for name, value in scope["headers"] if name == _HEADER]
    if len(found) != 1:
        raise Unauthenticated("this service answers the gateway only")
    return str(found[0].decode("latin-1"))
