"""Reads from the services behind the gateway, each with an assertion of who asks for what.

The answer comes back unchanged: status, body and the headers that belong to it. A service that does
not answer in time is 503 `upstream_unavailable`, never a 401 or a 500.

One thing is told this way and not read: an event that the bus does not take and that cannot wait.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from libs.common.assertions import HEADER, AssertionMinter
from libs.common.errors import Unavailable
from libs.common.events.envelope import STRUCTURED
from libs.common.identity import Caller

TELLS = "alerts:write"
"""The permission in whose name the gateway tells of an event itself."""
TIMEOUT_SECONDS = 5.0
MOST_ANSWER_BYTES = 16 * 1024 * 1024
PASSED_HEADERS = frozenset({"content-type", "etag", "cache-control", "last-modified", "link", "retry-after", "vary"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered."""

    status: int
    headers: dict[str, str]
    body: bytes


STREAMED_HEADERS = PASSED_HEADERS | {
    "accept-ranges",
    "content-disposition",
    "content-length",
    "content-range",
}
PART_SECONDS = 60.0
"""How long one part of a streamed answer may take to come from the service, or to go to its reader."""

Begin = Callable[[int, dict[str, str]], Awaitable[None]]
"""Takes the status and the headers of a streamed answer."""
Part = Callable[[bytes], Awaitable[None]]
"""Takes one part of its body; the next one is asked for when it returns."""


class Carrier(Protocol):
    """Carries one request to a service. Raises `UpstreamBroken` when no whole answer came."""

    async def get(self, service: str, target: str, headers: dict[str, str]) -> Answer:
        """GET `target` (path and query) of `service`."""
        ...

    async def put(self, service: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """PUT `body` at `target` of `service`."""
        ...

    async def stream(self, service: str, target: str, headers: dict[str, str], *, begin: Begin, part: Part) -> None:
        """GET `target` of `service` and hand the answer on as it comes, no faster than it is taken."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


class UpstreamBroken(Exception):
    """The service did not answer, or not whole."""


class Upstream:
    """Reads of the services, in the name of a caller."""

    def __init__(self, carrier: Carrier, minter: AssertionMinter) -> None:
        self._carrier = carrier
        self._minter = minter

    async def read(
        self, service: str, path: str, query: str, *, caller: Caller, permission: str, if_none_match: str | None = None
    ) -> Answer:
        """GET an internal path of a service. Raises `Unavailable` when the service cannot answer."""
        target = f"{path}?{query}" if query else path
        headers = self._headers(caller, service=service, permission=permission, target=target)
        if if_none_match:
            headers["if-none-match"] = if_none_match
        try:
            return await self._carrier.get(service, target, headers)
        except UpstreamBroken as error:
            raise Unavailable(f"the {service} service does not answer", code="upstream_unavailable") from error

    async def stream(
        self,
        service: str,
        path: str,
        *,
        caller: Caller,
        permission: str,
        passed: Mapping[str, str],
        begin: Begin,
        part: Part,
    ) -> None:
        """GET a file of a service, handed on as it comes; `passed` are headers of the caller's, such as `Range`."""
        headers = {**passed, **self._headers(caller, service=service, permission=permission, target=path)}
        has_begun = False

        async def begun(status: int, answered: dict[str, str]) -> None:
            nonlocal has_begun
            has_begun = True
            await begin(status, answered)

        try:
            await self._carrier.stream(service, path, headers, begin=begun, part=part)
        except UpstreamBroken as error:
            if has_begun:
                raise
            raise Unavailable(f"the {service} service does not answer", code="upstream_unavailable") from error

    async def tell(self, service: str, body: bytes, *, caller: Caller) -> None:
        """Tell a service of one event, in its structured form, past the bus. Raises `Unavailable` when it cannot take it.

        The path names the event's digest, and the assertion the path: nothing else can be said with it.
        """
        target = f"/internal/{service}/direct/{hashlib.sha256(body).hexdigest()}"
        headers = self._headers(caller, service=service, permission=TELLS, target=target, method="PUT")
        try:
            answer = await self._carrier.put(service, target, {**headers, "content-type": STRUCTURED}, body)
        except UpstreamBroken as error:
            raise Unavailable(f"the {service} service does not answer", code="upstream_unavailable") from error
        if answer.status != 204:
            raise Unavailable(f"the {service} service answered {answer.status}", code="upstream_unavailable")

    async def close(self) -> None:
        """Give connections back."""
        await self._carrier.close()

    def _headers(
        self, caller: Caller, *, service: str, permission: str, target: str, method: str = "GET"
    ) -> dict[str, str]:
        token = self._minter.mint(caller, audience=service, permission=permission, method=method, target=target)
        headers = {HEADER: token, "x-request-id": caller.origin.request_id or ""}
        if caller.traceparent:
            headers["traceparent"] = caller.traceparent
        return headers
