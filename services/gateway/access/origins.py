"""What a request's headers say about where it comes from and with which token."""

from collections.abc import MutableMapping, Sequence
from typing import Any

from services.gateway.access.addresses import Network, client_address

MOST_USER_AGENT = 512


def read_headers(
    scope: MutableMapping[str, Any], *, trusted: Sequence[Network]
) -> tuple[str | None, str | None, bytes | None]:
    """Address, user agent and `Authorization` of an ASGI scope, in one pass over its headers."""
    authorization: bytes | None = None
    agent: bytes | None = None
    forwarded: list[str] = []
    for name, value in scope["headers"]:
        if name == b"authorization":
            # Two of them would leave open which one counts.
            authorization = value if authorization is None else b""
        elif name == b"user-agent":
            agent = value
        elif name == b"x-forwarded-for":
            forwarded.append(value.decode("latin-1"))
    peer = scope.get("client")
    address = client_address(peer[0] if peer else None, forwarded_for=forwarded, trusted=trusted)
    return address, _readable(agent), authorization


def _readable(agent: bytes | None) -> str | None:
    if agent is None:
        return None
    text = agent[:MOST_USER_AGENT].decode("latin-1")
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
