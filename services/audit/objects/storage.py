"""Writes and reads objects over connections to judged addresses: each request signed, no redirect followed."""

import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import IO

import aiohttp
from yarl import URL

from libs.common.egress.destinations import ForbiddenDestination, Network, check_url
from libs.common.egress.resolver import forbidden_by
from libs.common.egress.session import judged_session
from libs.common.egress.trust import client_context
from libs.common.events.sinks import S3Target
from services.audit.objects.content import CHUNK_BYTES, Content
from services.audit.objects.place import path_of, url_of, wishes_of
from services.audit.objects.refusals import StorageFailed, refusal
from services.audit.objects.signing import EMPTY_SHA256, Access, signed

MOST_CONNECTIONS = 32
MOST_ANSWER_BYTES = 16 * 1024


class ObjectStorage:
    """Any storage that speaks S3. `allowed` are the networks that may be reached although they are not public."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        trusts_loopback: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._allowed = tuple(allowed)
        self._trusts_loopback = trusts_loopback
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def put(self, target: S3Target, secret: str, name: str, content: Content, *, kind: str) -> None:
        """Write an object of media type `kind`, as the target wishes. Raises `StorageFailed`. The caller bounds the time."""
        headers = {
            "content-type": kind,
            "content-md5": base64.b64encode(content.md5).decode(),
            "x-amz-checksum-sha256": base64.b64encode(content.sha256).decode(),
            **wishes_of(target, now=self._clock()),
        }
        with content.opened() as body:
            async with self._answered(
                "PUT", target, secret, name, headers=headers, body=body, sha256=content.sha256.hex(), size=content.size
            ):
                pass

    async def measure(self, target: S3Target, secret: str, name: str) -> tuple[int, bytes]:
        """Read an object to its end: its bytes and their SHA-256. Raises `StorageFailed`. The caller bounds the time."""
        digest, size = hashlib.sha256(), 0
        async with self._answered("GET", target, secret, name) as answer:
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return size, digest.digest()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _answered(
        self, method: str, target: S3Target, secret: str, name: str, *, headers: Mapping[str, str] | None = None,
        body: bytes | IO[bytes] | None = None, sha256: str = EMPTY_SHA256, size: int = 0,
    ) -> AsyncIterator[aiohttp.ClientResponse]:  # fmt: skip
        """The answer to a signed request where it is 2xx."""
        url = url_of(target, name)
        try:
            check_url(url, allowed=self._allowed, trusts_loopback=self._trusts_loopback)
            place = URL(url, encoded=True)
            whole = signed(
                Access(target.region, target.access_key_id, secret), method=method, path=path_of(url),
                headers={"host": place.host_port_subcomponent or "", **(headers or {})}, body_sha256=sha256, at=self._clock(),
            )  # fmt: skip
            if body is not None:
                whole["content-length"] = str(size)
            whole.update({"accept-encoding": "identity", "user-agent": "reeve-audit"})
            async with self._running().request(
                method, place, data=body, headers=whole, allow_redirects=False, ssl=client_context(target.ca)
            ) as answer:
                if not 200 <= answer.status < 300:
                    said = await answer.content.read(MOST_ANSWER_BYTES)
                    raise refusal(answer.status, said, retry_after=answer.headers.get("Retry-After"))
                yield answer
        except ForbiddenDestination as error:
            raise StorageFailed(str(error), needs_person=True) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise StorageFailed("the storage's certificate does not hold", needs_person=True) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            forbidden = forbidden_by(error)
            if forbidden is not None:
                raise StorageFailed(str(forbidden), needs_person=True) from None
            raise StorageFailed(f"the storage did not answer: {type(error).__name__}") from error

    def _running(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = judged_session(
                self._allowed, trusts_loopback=self._trusts_loopback, most_connections=MOST_CONNECTIONS
            )
        return self._session
