"""What Standard Webhooks 1.0.0 says of secrets and signatures. Pure."""

import base64
import hmac

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
RULE = f"must be {PREFIX} and the base64 of {LEAST_BYTES} to {MOST_BYTES} random bytes"


def secret_bytes(text: str) -> bytes:
    """The bytes of a secret, 24 to 64. Raises `ValueError` with the rule, and without the secret."""
    if not text.startswith(PREFIX):
        raise ValueError(RULE)
    try:
        plain = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError:
        raise ValueError(RULE) from None
    if not LEAST_BYTES <= len(plain) <= MOST_BYTES:
        raise ValueError(RULE)
    return plain


def signature(secret: bytes, *, message_id: str, stamp: int, body: bytes) -> str:
    """`v1,` and the base64 of the HMAC-SHA-256 of id, seconds since 1970 and body, with a dot between two."""
    digest = hmac.digest(secret, f"{message_id}.{stamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"
