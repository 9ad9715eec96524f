"""A webhook that is told each head, signed as Standard Webhooks 1.0.0 says: HMAC-SHA-256 over `id.timestamp.body`.

The id names log and size, so whoever receives it knows a repetition; each attempt has a timestamp of its own.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from libs.common.egress.destinations import Network
from libs.common.webhooks import signature
from services.audit.anchors.anchor import Anchored, AnchorFailed
from services.audit.anchors.asking import asking

SECONDS = 15.0
EVENT = "audit.checkpoint"


class WebhookAnchor:
    """Answers of 2xx count, redirections are not followed."""

    name = "webhook"

    def __init__(
        self, url: str, secret: bytes, *, origin: str, allowed: Sequence[Network] = (), seconds: float = SECONDS
    ) -> None:
        self._url = url
        self._secret = secret
        self._origin = origin
        self._allowed = allowed
        self._seconds = seconds

    async def keep(self, *, size: int, note: str) -> Anchored:
        """Tell one head."""
        now = datetime.now(UTC)
        data = {"origin": self._origin, "size": size, "checkpoint": note}
        body = orjson.dumps({"type": EVENT, "timestamp": now.isoformat(), "data": data})
        name = f"checkpoint_{hashlib.sha256(self._origin.encode()).hexdigest()[:16]}_{size}"
        stamp = int(now.timestamp())
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(stamp),
            "webhook-signature": signature(self._secret, message_id=name, stamp=stamp, body=body),
        }
        async with asking(
            self._url, body, headers=headers, who="the webhook", allowed=self._allowed, seconds=self._seconds
        ) as answer:
            if not 200 <= answer.status < 300:
                raise AnchorFailed(f"the webhook answered {answer.status}")
        return Anchored()
