"""The cookie by which a browser is in a session: what is in it, how it is set, and how it is read. Pure.

Its value is base64url of: session id (16 bytes), the moment of the last proof in microseconds since 1970 (8), the first
16 bytes of the SHA-256 of the role's name, and HMAC-SHA-256 over these (32). Who only reads the database can make none.
A value is of one proof and one role: after a step-up or in another role it is another one, and the old one holds no more.
The `__Host-` prefix (RFC 6265bis, 4.1.3.2) keeps other hosts, siblings below the same domain too, from setting it.
"""

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from libs.common.identity import Actor

SESSION_COOKIE = "__Host-reeve-session"
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"
# Without an age: it goes with the browser. How long the session lives is for the server to say.
CLEARED = f"{SESSION_COOKIE}=; Max-Age=0; {_ATTRIBUTES}"
"""The `Set-Cookie` that takes it away."""
_VALUE = re.compile(r"[A-Za-z0-9_-]{96}")
_PAYLOAD = struct.Struct(">16sQ16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a cookie of ours says; whether that is still so, the session tells."""

    session_id: str
    proved_at: datetime
    role_digest: bytes

    def is_of(self, actor: Actor) -> bool:
        """Whether the session's owner has the role of then, and proved who they are no more since."""
        return actor.proved_at == self.proved_at and self.role_digest == _digest(actor.role or "")


class SessionCookies:
    """Writes values and reads its own. `secret` is that of the keys directory, the same on every instance."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.sha256(b"reeve session cookie v1\0" + secret).digest()

    def write(self, *, session_id: str, proved_at: datetime, role: str) -> str:
        """The `Set-Cookie` of a session."""
        moment = (proved_at - _EPOCH) // timedelta(microseconds=1)
        payload = _PAYLOAD.pack(UUID(session_id).bytes, moment, _digest(role))
        value = base64.urlsafe_b64encode(payload + self._mac(payload)).decode("ascii")
        return f"{SESSION_COOKIE}={value}; {_ATTRIBUTES}"

    def read(self, value: str) -> Ticket | None:
        """What a value says; None for one that is not ours."""
        if not _VALUE.fullmatch(value):
            return None
        raw = base64.urlsafe_b64decode(value)
        payload, mac = raw[: _PAYLOAD.size], raw[_PAYLOAD.size :]
        if not hmac.compare_digest(mac, self._mac(payload)):
            return None
        session_id, moment, role_digest = _PAYLOAD.unpack(payload)
        return Ticket(str(UUID(bytes=session_id)), _EPOCH + timedelta(microseconds=moment), role_digest)

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, payload, "sha256")


def values_of(scope: MutableMapping[str, Any], name: str) -> list[str]:
    """Every value that the `Cookie` headers of an ASGI scope give a name. More than one is for nobody to choose from:
    a browser sends what a sibling host planted beside ours, in an order that the sibling can influence."""
    wanted = name.encode("ascii")
    pairs = (
        pair.strip(b" \t").partition(b"=")
        for header, line in scope["headers"]
        if header == b"cookie"
        for pair in line.split(b";")
    )
    return [value.decode("latin-1") for found, _, value in pairs if found == wanted]


def _digest(role: str) -> bytes:
    return hashlib.sha256(role.encode()).digest()[:16]
