"""How far the log is witnessed: whose cosignatures count, how many of them make a head witnessed, and what that says of an entry."""

from dataclasses import dataclass
from typing import Literal

from services.audit.log.cosignatures import WitnessKey

EntryState = Literal["accepted", "integrated", "witnessed"]


@dataclass(frozen=True, slots=True)
class Quorum:
    """The witnesses of this log, and how many of them must have cosigned one head."""

    keys: tuple[WitnessKey, ...]
    least: int


def state_of(sequence: int, *, signed: int | None, witnessed: int | None) -> EntryState:
    """What can be shown of an entry: a receipt alone, a proof to a signed head, or to one that the quorum cosigned.

    `signed` and `witnessed` are the sizes of the newest such heads, None where there is none.
    """
    if witnessed is not None and sequence < witnessed:
        return "witnessed"
    return "integrated" if signed is not None and sequence < signed else "accepted"
