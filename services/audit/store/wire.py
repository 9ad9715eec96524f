"""How words, addresses, leaves and seeds travel into a binary COPY: as bytes made here, which costs a quarter of the
driver's own way.

The formats are those of Postgres' `tsvectorrecv` and `inet_recv`, and of COPY itself.
"""

import struct
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from weakref import WeakSet

import asyncpg

from services.audit.models.leaves import Leaf

_COUNT = struct.Struct(">i")
_NO_POSITIONS = "\x00\x00\x00"
"""What follows a word: the end of its text, and its number of positions (two bytes)."""
_IPV4, _IPV6 = 2, 3

_COPY_BEGIN = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_END = b"\xff\xff"
_PLACE = struct.Struct(">hiqi")
"""A row's beginning: the number of its fields, eight bytes of sequence, and how long the next field is."""
_HASH_FOLLOWS = struct.pack(">i", 32)

_prepared: WeakSet[asyncpg.Connection] = WeakSet()


async def prepare(connection: asyncpg.Connection) -> None:
    """Teach a connection of the pool these formats, once in its life."""
    if connection in _prepared:
        return
    for name, encoder in (("tsvector", tsvector), ("inet", inet)):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encoder, decoder=bytes, format="binary")
    _prepared.add(connection)


def tsvector(words: list[str]) -> bytes:
    """Distinct words, none of which holds U+0000, as a tsvector without positions; Postgres sorts them."""
    if not words:
        return _COUNT.pack(0)
    return _COUNT.pack(len(words)) + (_NO_POSITIONS.join(words) + _NO_POSITIONS).encode()


@lru_cache(maxsize=4096)
def inet(address: str) -> bytes:
    """One host's address: family, bits of the network, not a cidr, bytes that follow, bytes."""
    host = ip_address(address)
    family, packed = (_IPV4 if isinstance(host, IPv4Address) else _IPV6), host.packed
    return bytes((family, host.max_prefixlen, 0, len(packed))) + packed


def leaf_rows(leaves: Iterable[Leaf]) -> bytes:
    """A binary COPY of sequence, body and hash."""
    begin = _PLACE.pack
    rows = [
        begin(3, 8, index, len(body)) + body + _HASH_FOLLOWS + digest for index, body, digest, _ in leaves
    ]  # fmt: skip
    return b"".join((_COPY_BEGIN, *rows, _COPY_END))


def seed_rows(leaves: Iterable[Leaf]) -> bytes:
    """A binary COPY of sequence and seed."""
    begin = _PLACE.pack
    return b"".join((_COPY_BEGIN, *[begin(2, 8, leaf.sequence, 32) + leaf.seed for leaf in leaves], _COPY_END))
