"""What a request's headers say about where it comes from and with which token."""

from collections.abc import MutableMapping, Sequence
from typing import Any
from uuid import UUID

from libs.common.errors import BadRequest
from services.gateway.access.addresses import Network, client_address

MOST_USER_AGENT = 512
UNDOES = b"reeve-undoes"


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


def undone_entry(scope: MutableMapping[str, Any]) -> str | None:
    """The audit entry that a write says it undoes, by `Reeve-Undoes`. Raises `BadRequest` for what is no entry's id."""
    if scope.get("method") in (None, "GET", "HEAD"):
        return None
    found = [value for name, value in scope["headers"] if name == UNDOES]
    if not found:
        return None
    try:
        return str(UUID(found[0].decode("latin-1")))
    except ValueError:
        raise BadRequest("Reeve-Undoes must be the id of an audit entry", code="invalid_undoes") from None


def _readable(agent: bytes | None) -> str | None:
    if agent is None:
        return None
    text = agent[:MOST_USER_AGENT].decode("latin-1")
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
