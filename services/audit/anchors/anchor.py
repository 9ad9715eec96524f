"""What every anchor is, and how one refuses."""

from dataclasses import dataclass
from typing import Protocol

from services.audit.log.cosignatures import Cosignature, WitnessKey

MOST_REASON = 300


class AnchorFailed(Exception):
    """The head was not kept; it is tried again. The message says why, in one line and without secrets.

    `contradicts` says that the anchor knows another log under this name, so that somebody must look.
    """

    def __init__(self, reason: str, *, contradicts: bool = False) -> None:
        super().__init__(reason)
        self.contradicts = contradicts


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A verified cosignature, and whose it is."""

    key: WitnessKey
    cosignature: Cosignature


@dataclass(frozen=True, slots=True)
class Anchored:
    """What came of it: where something is to be remembered, its bytes (of a time-stamper its answer), or a witness's word."""

    evidence: bytes | None = None
    cosigned: Cosigned | None = None


class Anchor(Protocol):
    """Keeps heads outside. The same head may come again after a crash."""

    @property
    def name(self) -> str:
        """What it is called in metrics and in the table of anchors."""
        ...

    async def keep(self, *, size: int, note: str) -> Anchored:
        """Keep one signed note. Raises `AnchorFailed`."""
        ...
