"""Reads from the services behind the gateway, each with an assertion of who asks for what.

The answer comes back unchanged: status, body and the headers that belong to it. A service that does
not answer in time is 503 `upstream_unavailable`, never a 401 or a 500.
"""

from dataclasses import dataclass
from typing import Protocol

from libs.common.assertions import HEADER, AssertionMinter
from libs.common.errors import Unavailable
from libs.common.identity import Caller

TIMEOUT_SECONDS = 5.0
MOST_ANSWER_BYTES = 16 * 1024 * 1024
PASSED_HEADERS = frozenset({"content-type", "etag", "cache-control", "last-modified", "link", "retry-after", "vary"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Carrier(Protocol):
    """Carries one GET to a service. Raises `UpstreamBroken` when no whole answer came."""

    async def get(self, service: str, target: str, headers: dict[str, str]) -> Answer:
        """GET `target` (path and query) of `service`."""
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
        token = self._minter.mint(caller, audience=service, permission=permission, method="GET", target=target)
        headers = {HEADER: token, "x-request-id": caller.origin.request_id or ""}
        if caller.traceparent:
            headers["traceparent"] = caller.traceparent
        if if_none_match:
            headers["if-none-match"] = if_none_match
        try:
            return await self._carrier.get(service, target, headers)
        except UpstreamBroken as error:
            raise Unavailable(f"the {service} service does not answer", code="upstream_unavailable") from error

    async def close(self) -> None:
        """Give connections back."""
        await self._carrier.close()
