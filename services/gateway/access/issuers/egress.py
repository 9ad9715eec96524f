"""Calls to issuers and lists of breaches: to the origins they were configured with and nowhere else, briefly, and in
small answers.

No redirect is followed, no proxy variable is read, no cookie is kept. A name is resolved once: the
address that was judged is the address that is connected to.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

from libs.common.egress.destinations import ForbiddenDestination, Network, check_url
from libs.common.egress.resolver import forbidden_by
from libs.common.egress.session import judged_session
from services.gateway.access.issuers.models import IssuerUnavailable, origin_of

CALL_SECONDS = 3.0
MOST_ANSWER_BYTES = 64 * 1024
MOST_CALLS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: at most `most_bytes`."""

    status: int
    body: bytes


class Egress:
    """A client. `allowed` are the networks that calls may reach although they are not public."""

    def __init__(
        self, allowed: Sequence[Network] = (), *, seconds: float = CALL_SECONDS, most_bytes: int = MOST_ANSWER_BYTES
    ) -> None:
        self._allowed = tuple(allowed)
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, origins: Collection[str], headers: Mapping[str, str] | None = None) -> Answer:
        """GET at one of `origins`. Raises `IssuerUnavailable`, and `ForbiddenDestination` before anything is sent."""
        return await self._call("GET", url, origins, headers=headers, form=None)

    async def post(
        self, url: str, form: Mapping[str, str], *, origins: Collection[str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """POST a form at one of `origins`. Raises as `get` does."""
        return await self._call("POST", url, origins, headers=headers, form=form)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _call(
        self,
        method: str,
        url: str,
        origins: Collection[str],
        *,
        headers: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
    ) -> Answer:
        check_url(url, allowed=self._allowed)
        if origin_of(url) not in origins:
            raise ForbiddenDestination(f"{origin_of(url)} is no origin of this issuer")
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        try:
            async with self._opened().request(
                method, URL(url), headers=sent, data=form, allow_redirects=False
            ) as response:
                return Answer(response.status, await self._body(response))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            forbidden = forbidden_by(error)
            if forbidden is not None:
                raise forbidden from error
            raise IssuerUnavailable(f"{origin_of(url)}: {type(error).__name__}") from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ValueError("a compressed answer is not read")
        body = b""
        while chunk := await response.content.read(self._most_bytes + 1 - len(body)):
            body += chunk
            if len(body) > self._most_bytes:
                raise ValueError("the answer is too large")
        return body

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = judged_session(self._allowed, most_connections=MOST_CALLS_AT_ONCE, seconds=self._seconds)
        return self._session
