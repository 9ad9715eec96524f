"""A webhook that is told each head, signed as Standard Webhooks 1.0.0 says: HMAC-SHA-256 over `id.timestamp.body`.

The id names log and size, so whoever receives it knows a repetition; each attempt has a timestamp of its own.
"""

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime

import aiohttp
import orjson

from services.audit.anchors.anchor import Anchored, AnchorFailed

SECONDS = 15.0
PREFIX = "whsec_"
LEAST_SECRET, MOST_SECRET = 24, 64
EVENT = "audit.checkpoint"


class WebhookAnchor:
    """Answers of 2xx count, redirections are not followed."""

    name = "webhook"

    def __init__(self, url: str, secret: bytes, *, origin: str, seconds: float = SECONDS) -> None:
        self._url = url
        self._secret = secret
        self._origin = origin
        self._seconds = seconds

    async def keep(self, *, size: int, note: str) -> Anchored:
        """Tell one head."""
        now = datetime.now(UTC)
        data = {"origin": self._origin, "size": size, "checkpoint": note}
        body = orjson.dumps({"type": EVENT, "timestamp": now.isoformat(), "data": data})
        name = f"checkpoint_{hashlib.sha256(self._origin.encode()).hexdigest()[:16]}_{size}"
        stamp = str(int(now.timestamp()))
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": stamp,
            "webhook-signature": signature_of(self._secret, message_id=name, timestamp=stamp, body=body),
        }
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._seconds)) as session,
                session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                if not 200 <= answer.status < 300:
                    raise AnchorFailed(f"the webhook answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AnchorFailed(f"the webhook cannot be reached: {type(error).__name__}") from error
        return Anchored()


def signature_of(secret: bytes, *, message_id: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 of the HMAC-SHA-256 of `id.timestamp.body`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(secret, signed, 'sha256')).decode()}"


def secret_of(text: str) -> bytes:
    """The 24 to 64 bytes of a secret: `whsec_` and base64. Raises `ValueError`, which does not repeat it."""
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not text.startswith(PREFIX) or not LEAST_SECRET <= len(secret) <= MOST_SECRET:
        raise ValueError(f"must be {PREFIX} and the base64 of {LEAST_SECRET} to {MOST_SECRET} bytes")
    return secret
