"""Calls over HTTP, for services in processes of their own."""

from collections.abc import Mapping

import aiohttp
from yarl import URL

from services.gateway.upstream.client import (
    MOST_ANSWER_BYTES,
    PART_SECONDS,
    PASSED_HEADERS,
    STREAMED_HEADERS,
    TIMEOUT_SECONDS,
    Answer,
    Begin,
    Part,
    UpstreamBroken,
)

MOST_CONNECTIONS = 64
PART_BYTES = 64 * 1024
_STREAMING = aiohttp.ClientTimeout(total=None, sock_connect=1.0, sock_read=PART_SECONDS)


class HttpCarrier:
    """One pooled HTTP client for all services; base URLs such as `http://settings:8080`."""

    def __init__(self, base_urls: Mapping[str, str]) -> None:
        self._base_urls = dict(base_urls)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, service: str, target: str, headers: dict[str, str]) -> Answer:
        """GET and read the whole answer within the time and size limits."""
        return await self._request("GET", service, target, headers)

    async def put(self, service: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """PUT and read the whole answer within the same limits."""
        return await self._request("PUT", service, target, headers, body)

    async def _request(
        self, method: str, service: str, target: str, headers: dict[str, str], data: bytes | None = None
    ) -> Answer:
        url = self._url(service, target)
        try:
            async with self._pool().request(method, url, headers=headers, data=data, allow_redirects=False) as response:
                body = await response.content.read(MOST_ANSWER_BYTES + 1)
                while not response.content.at_eof() and len(body) <= MOST_ANSWER_BYTES:
                    body += await response.content.read(MOST_ANSWER_BYTES + 1 - len(body))
                if len(body) > MOST_ANSWER_BYTES:
                    raise UpstreamBroken(f"{service} answered over {MOST_ANSWER_BYTES} bytes")
                passed = {
                    name.lower(): value for name, value in response.headers.items() if name.lower() in PASSED_HEADERS
                }
                return Answer(response.status, passed, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UpstreamBroken(f"{service}: {type(error).__name__}") from error

    async def stream(self, service: str, target: str, headers: dict[str, str], *, begin: Begin, part: Part) -> None:
        """GET, and hand on part by part; while nobody takes a part, none is read, and the service waits as well."""
        try:
            async with self._pool().get(
                self._url(service, target), headers=headers, allow_redirects=False, timeout=_STREAMING
            ) as response:
                passed = {
                    name.lower(): value for name, value in response.headers.items() if name.lower() in STREAMED_HEADERS
                }
                await begin(response.status, passed)
                async for data in response.content.iter_chunked(PART_BYTES):
                    await part(data)
        except (aiohttp.ClientError, aiohttp.ServerTimeoutError, OSError) as error:
            raise UpstreamBroken(f"{service}: {type(error).__name__}") from error

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS, limit_per_host=MOST_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, sock_connect=1.0),
                auto_decompress=False,
            )
        return self._session

    def _url(self, service: str, target: str) -> URL:
        # The assertion is bound to these very characters: nothing may be decoded or quoted anew on the way.
        return URL(f"{self._base_urls[service]}{target}", encoded=True)

    async def close(self) -> None:
        """Close all pooled connections."""
        if self._session is not None:
            await self._session.close()
