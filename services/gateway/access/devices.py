"""From where somebody signs in, as far as it is worth a notice. Pure."""

import re
from dataclasses import dataclass
from hashlib import sha256

from services.gateway.access.addresses import network_of

MOST_DEVICE_NAME = 200
_VERSIONS = re.compile(r"/?[0-9]+(?:[._][0-9]+)*")


@dataclass(frozen=True, slots=True)
class Device:
    """From where somebody signs in: a network, and a program without its version, which changes every month."""

    network: str
    name: str

    @property
    def hash(self) -> bytes:
        """32 bytes by which it is recognized: the SHA-256 of both texts."""
        return sha256(f"reeve device v1\0{self.network}\0{self.name}".encode("utf-8", "surrogatepass")).digest()


def device_of(address: str | None, user_agent: str | None) -> Device:
    """The device of a request; the name is a plain line of at most 200 characters."""
    words = _VERSIONS.sub("", user_agent or "").split()
    return Device(network_of(address), " ".join(words)[:MOST_DEVICE_NAME] or "unknown")


def is_news(*, is_known: bool, has_history: bool) -> bool:
    """Whether a sign-in from a device is worth a notice: not the first ever, which is new in any case."""
    return has_history and not is_known
