"""What an `Idempotency-Key` looks like, and what is known of a request that carried one."""

import re
from dataclasses import dataclass

from libs.common.errors import BadRequest

KEY = re.compile(r"[!-~]{1,255}")
MOST_KEPT_BODY = 256 * 1024
KEPT_HEADERS = frozenset((b"content-type", b"etag", b"location"))


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that this request holds and whose answer will be kept."""

    caller: str
    key: str

    @property
    def bound(self) -> bytes:
        """What a kept answer is bound to: no caller and no other key can be given it."""
        return f"{len(self.caller)}:{self.caller}{self.key}".encode()


class Replay(Exception):
    """The answer of the first request with this key."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__("replayed")
        self.status = status
        self.headers = {**headers, "Idempotency-Replayed": "true"}
        self.body = body


def key_of(offered: str) -> str:
    """The key of the header's text, quoted (as the draft of the IETF has it) or bare. Raises `BadRequest`."""
    key = offered[1:-1] if len(offered) > 1 and offered[0] == offered[-1] == '"' else offered
    if not KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key must be 1..255 visible ASCII characters", code="invalid_idempotency_key")
    return key
