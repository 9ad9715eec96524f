"""Sends entries by HTTPS, as Standard Webhooks 1.0.0 has it: one POST a batch, signed, and confirmed by 2xx.

A batch has the same `webhook-id` and the same body at each attempt. No redirect is followed, no proxy variable is read,
a name is resolved once, and the address that was judged is the one that is connected to.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
from yarl import URL

from libs.common.egress.destinations import ForbiddenDestination, Network, check_url
from libs.common.egress.resolver import forbidden_by
from libs.common.egress.session import judged_session
from libs.common.events.envelope import rfc3339
from libs.common.webhooks import signature
from services.audit.models.sinks import Batch, SendFailed, error_text, seconds_of

MOST_CONNECTIONS = 32
MOST_ANSWER_BYTES = 16 * 1024
GONE = 410
ENTRIES, TEST = "audit.entries", "audit.sink_test"


class WebhookSender:
    """Sends to any https target. `allowed` are the networks that may be reached although they are not public."""

    def __init__(self, allowed: Sequence[Network] = (), *, clock: Callable[[], float] = time.time) -> None:
        self._allowed = tuple(allowed)
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def send(self, target: Mapping[str, Any], batch: Batch, *, secret: bytes) -> None:
        """Send a batch and wait until it is confirmed. Raises `SendFailed`. The caller bounds the time."""
        body, stamp = body_of(batch), int(self._clock())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "reeve-audit",
            "webhook-id": batch.id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": signature(secret, message_id=batch.id, stamp=stamp, body=body),
        }
        try:
            check_url(target["url"], allowed=self._allowed, trusts_loopback=False)
            async with self._opened().post(
                URL(target["url"]), data=body, headers=headers, allow_redirects=False
            ) as response:
                await response.content.read(MOST_ANSWER_BYTES)
                _judge(response.status, response.headers.get("Retry-After"), now=self._clock())
        except ForbiddenDestination as error:
            raise SendFailed(error_text(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            forbidden = forbidden_by(error)
            said = error_text(forbidden) if forbidden else f"the receiver did not answer: {type(error).__name__}"
            raise SendFailed(said) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = judged_session(self._allowed, trusts_loopback=False, most_connections=MOST_CONNECTIONS)
        return self._session


def body_of(batch: Batch) -> bytes:
    """The body: the same bytes for the same batch."""
    kind = TEST if batch.is_test else ENTRIES
    last = batch.entries[-1]
    entries = b",".join(entry.body for entry in batch.entries)
    return b'{"type":"%s","timestamp":"%s","data":{"first":%d,"last":%d,"entries":[%s]}}' % (
        kind.encode(), rfc3339(last.created_at).encode(), batch.entries[0].sequence, last.sequence, entries,
    )  # fmt: skip


def _judge(status: int, retry_after: str | None, *, now: float) -> None:
    if 200 <= status < 300:
        return
    raise SendFailed(
        f"the receiver answered {status}",
        retry_after_seconds=seconds_of(retry_after, now=now),
        is_gone=status == GONE,
    )
