"""Where each source's exports live, ids that say so, and links that open one download for a while. Pure."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.common.broker.topology import AUDIT_COMMANDS, Queue
from libs.common.errors import Unauthenticated
from libs.common.ids import new_uuid

LINK_SECONDS = 15 * 60
_MAC_BYTES = 32
_LINK_BYTES = 16 + 16 + 8 + _MAC_BYTES
_NUMBER_BITS = 8


@dataclass(frozen=True, slots=True)
class ExportSource:
    """One source: the service that runs its exports, and what whoever asks for them must be allowed."""

    number: int
    """1 to 255, and for ever: ids carry it."""
    name: str
    service: str
    queue: Queue | None
    """Where the service takes commands; None for the gateway's own sources."""
    permission: str

    @property
    def path(self) -> str:
        """Below which the service answers."""
        return f"/internal/exports/{self.name}"


SOURCES: Sequence[ExportSource] = (
    ExportSource(1, "audit", "audit", AUDIT_COMMANDS, "audit:export"),
    ExportSource(2, "security_events", "gateway", None, "security:read"),
    ExportSource(3, "users", "gateway", None, "users:read"),
)
_BY_NAME = {source.name: source for source in SOURCES}
_BY_NUMBER = {source.number: source for source in SOURCES}


def find_source(name: str) -> ExportSource | None:
    """The source of this name."""
    return _BY_NAME.get(name)


def new_export_id(source: ExportSource) -> UUID:
    """A new UUIDv7 whose last byte is the source's number: whoever has an id knows whom to ask."""
    return UUID(int=new_uuid().int >> _NUMBER_BITS << _NUMBER_BITS | source.number)


def source_of(export_id: UUID) -> ExportSource | None:
    """The source that an id names."""
    return _BY_NUMBER.get(export_id.int & ((1 << _NUMBER_BITS) - 1))


class DownloadLinks:
    """Links to one export's file, for one administrator's session, for 15 minutes.

    A link is base64url of: export id (16 bytes), session id (16), end in seconds since 1970 (8), and HMAC-SHA-256
    over these (32). It ends with the session, and what its administrator may do is looked up at every use.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.sha256(b"reeve download link v1\0" + secret).digest()

    def sign(self, export_id: UUID, *, session_id: str, now: float) -> str:
        """A new link's text."""
        payload = export_id.bytes + UUID(session_id).bytes + (int(now) + LINK_SECONDS).to_bytes(8)
        return base64.urlsafe_b64encode(payload + self._mac(payload)).decode("ascii").rstrip("=")

    def check(self, text: str, export_id: UUID, *, now: float) -> str:
        """The session that a link of this export belongs to.

        Raises `Unauthenticated`: `link_expired` for one whose time is over, `invalid_link` for anything else.
        """
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise _invalid() from None
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        is_ours = len(raw) == _LINK_BYTES and hmac.compare_digest(mac, self._mac(payload))
        if not is_ours or payload[:16] != export_id.bytes:
            raise _invalid()
        if int.from_bytes(payload[32:40]) <= now:
            raise Unauthenticated("the link has expired; ask for the export again", code="link_expired")
        return str(UUID(bytes=payload[16:32]))

    def _mac(self, payload: bytes) -> bytes:
        return hmac.new(self._secret, payload, hashlib.sha256).digest()


def _invalid() -> Unauthenticated:
    return Unauthenticated("the link is not one of ours for this export", code="invalid_link")
