"""Whom a connection over TLS trusts."""

import ssl
from functools import lru_cache


@lru_cache(maxsize=32)
def client_context(ca: str | None) -> ssl.SSLContext:
    """Trusts the authorities in `ca` (PEM) alone, else those of the system; TLS 1.2 at the least.

    Raises `ssl.SSLError` for what is no PEM.
    """
    context = ssl.create_default_context(cadata=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
