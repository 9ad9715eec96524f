"""Decoding of what a foreign client wrote into AMQP properties, without breaking the connection over it.

RabbitMQ passes properties on unread, and the library closes the whole connection when one of them is
no UTF-8 or no date. One such message, delivered again after every reconnection, would stop all the
consumers of a process until the broker gives it up. So whatever cannot be decoded is replaced here,
and the message is refused later for what it then says, alone.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime

from pamqp import decode
from pamqp.common import FieldValue

UNDECODABLE = "x-reeve-undecodable"
"""The only header of a message whose header table could not be decoded."""
_LONG_STRING = ord("S")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def short_text(value: bytes) -> tuple[int, str]:
    """AMQP 0-9-1, 4.2.5.3, short string: one octet of length, then text."""
    end = value[0] + 1
    return end, value[1:end].decode("utf-8", "replace")


def date(value: bytes) -> tuple[int, datetime]:
    """4.2.5.4, timestamp: 64 bits of seconds, from AMQP 1.0 clients of milliseconds; the epoch when it is neither."""
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, EPOCH


def table(value: bytes) -> tuple[int, FieldValue]:
    """4.2.5.5, field table: 32 bits of length, then pairs."""
    try:
        return _texts(value) or decode.field_table(value)
    except (ValueError, OverflowError, OSError, ArithmeticError, LookupError, RecursionError):
        (length,) = struct.unpack(">I", value[:4])
        return 4 + length, {UNDECODABLE: True}


def _texts(value: bytes) -> tuple[int, FieldValue] | None:
    """A table that holds only long strings, as ours do, read in one go; None for any other. Half of what a message costs."""
    end = 4 + int.from_bytes(value[:4], "big")
    if end > len(value):
        return None
    at = 4
    found: dict[str, FieldValue] = {}
    while at < end:
        name_end = at + 1 + value[at]
        text_at = name_end + 5
        if text_at > end or value[name_end] != _LONG_STRING:
            return None
        text_end = text_at + int.from_bytes(value[name_end + 1 : text_at], "big")
        if text_end > end:
            return None
        found[value[at + 1 : name_end].decode()] = value[text_at:text_end].decode()
        at = text_end
    return end, found


def install() -> None:
    """Put these decoders into the library's own table of decoders, for every connection of the process."""
    decoders: dict[str, Callable[..., tuple[int, FieldValue]]] = decode.METHODS
    decoders |= {"shortstr": short_text, "timestamp": date, "table": table}
