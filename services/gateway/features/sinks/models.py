"""The secret of a sink, as Standard Webhooks 1.0.0 writes it. Pure."""

import base64
import binascii

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
RULE = f"must be {PREFIX} and the base64 of {LEAST_BYTES} to {MOST_BYTES} random bytes"


def secret_bytes(text: str) -> bytes:
    """The bytes of a secret. Raises `ValueError` with the rule, and without the secret."""
    if not text.startswith(PREFIX):
        raise ValueError(RULE)
    try:
        plain = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(RULE) from None
    if not LEAST_BYTES <= len(plain) <= MOST_BYTES:
        raise ValueError(RULE)
    return plain
