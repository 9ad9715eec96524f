"""A webhook that is told each head, signed as Standard Webhooks 1.0.0 says: HMAC-SHA-256 over `id.timestamp.body`.

The id names log and size, so whoever receives it knows a repetition; each attempt has a timestamp of its own.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import aiohttp
import orjson

from libs.common.egress.destinations import ForbiddenDestination, Network, check_url
from libs.common.egress.resolver import forbidden_by
from libs.common.egress.session import judged_session
from libs.common.webhooks import signature
from services.audit.anchors.anchor import Anchored, AnchorFailed

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
        try:
            check_url(self._url, allowed=self._allowed)
            async with (
                judged_session(self._allowed, most_connections=1, seconds=self._seconds) as session,
                session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                if not 200 <= answer.status < 300:
                    raise AnchorFailed(f"the webhook answered {answer.status}")
        except ForbiddenDestination as error:
            raise AnchorFailed(str(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if (forbidden := forbidden_by(error)) is not None:
                raise AnchorFailed(str(forbidden)) from None
            raise AnchorFailed(f"the webhook cannot be reached: {type(error).__name__}") from error
        return Anchored()
