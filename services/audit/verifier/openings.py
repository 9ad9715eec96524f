"""Commitments: what was shown of an entry's private members, held against what its leaf committed to; and what was erased.

commit(path) = HMAC-SHA-256(salt(path), "adminlog/commit/v1" 0x00 path 0x00 value), and a seed of 32 bytes gives
salt(path) = HMAC-SHA-256(seed, "adminlog/salt/v1" 0x00 path).
"""

from binascii import b2a_base64
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from services.audit.verifier.findings import Finding, Kind
from services.audit.verifier.leaves import Flaw, Leaf
from services.audit.verifier.notes import strict_base64
from services.audit.verifier.ordinary import PATHS
from services.audit.verifier.spans import Spans

COMMIT = b"adminlog/commit/v1\x00"
SALT = b"adminlog/salt/v1\x00"
_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_SALT_BYTES = 32
_OUTER_REST = _OUTER[:1] * (_BLOCK_BYTES - _SALT_BYTES)
MOST_REDACTED = 1_000_000
"""Entries and ranges that one redaction may name."""


Opening = tuple[bytes | None, str | None, bool]
"""What is shown of one member: its salt, its text, and whether it is told of. Without its salt it was erased, and has no
text. A database's row has a place for every member, whether its entry has it or not: then it is not told of.

A plain tuple: a log has four for each entry, and to make a named one takes as long as a hash."""
Openings = Mapping[str, Opening]
ERASED: Opening = (None, None, True)


class Seeded(NamedTuple):
    """What a database shows of an entry of which nothing was erased: the seed (32 bytes) that opens all its members, and their
    texts in the order of `PATHS`; None for those that it does not have."""

    seed: bytes
    texts: Sequence[str | None]


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104, 2): `hmac.digest` takes four times as long, and a log has eight for each entry."""
    if len(key) > _BLOCK_BYTES:
        key = sha256(key).digest()
    rest = _BLOCK_BYTES - len(key)
    inner, outer = key.translate(_INNER) + _INNER[:1] * rest, key.translate(_OUTER) + _OUTER[:1] * rest
    return sha256(outer + sha256(inner + message).digest()).digest()


def salt_of(seed: bytes, path: str) -> bytes:
    """The salt (32 bytes) that a seed gives for one member."""
    return mac(seed, SALT + path.encode())


def commitment(salt: bytes, path: str, value: str) -> bytes:
    """The commitment (32 bytes) to a member's text."""
    if len(salt) != _SALT_BYTES:
        return mac(salt, COMMIT + path.encode() + b"\x00" + _encoded(value))
    inner = sha256(salt.translate(_INNER) + _begins(path)[1] + _encoded(value)).digest()
    return sha256(salt.translate(_OUTER) + _OUTER_REST + inner).digest()


def commitments(shown: Seeded) -> tuple[str | None, ...]:
    """The commitments to all members that are shown, in base64: `commitment` under `salt_of`, with the seed's keys made once."""
    key = shown.seed.ljust(_BLOCK_BYTES, b"\x00")
    inner, outer = key.translate(_INNER), key.translate(_OUTER)
    made: list[str | None] = []
    for (salted, begins), text in zip(_BEGINS, shown.texts, strict=True):
        if text is None:
            made.append(None)
            continue
        salt = sha256(outer + sha256(inner + salted).digest()).digest()
        inside = sha256(salt.translate(_INNER) + begins + text.encode()).digest()
        committed = sha256(salt.translate(_OUTER) + _OUTER_REST + inside).digest()
        made.append(b2a_base64(committed, newline=False).decode())
    return tuple(made)


def _encoded(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can name
        return value.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=64)
def _begins(path: str) -> tuple[bytes, bytes]:
    """What is hashed for a member before what differs: the message of its salt; and of its commitment, behind the salt, the
    rest of the inner key and the message up to the value."""
    return SALT + path.encode(), _INNER[:1] * (_BLOCK_BYTES - _SALT_BYTES) + COMMIT + path.encode() + b"\x00"


_BEGINS = [_begins(path) for path in PATHS]


def read_openings(said: Mapping[str, Mapping[str, object]]) -> Openings:
    """Openings by path, each `{"salt": base64, "value": text}` or `{"erased": true}`. ValueError or TypeError otherwise."""
    found: dict[str, Opening] = {}
    for path, one in said.items():
        salt, value = one.get("salt"), one.get("value")
        if len(one) == 2 and isinstance(salt, str) and isinstance(value, str):
            found[path] = strict_base64(salt), value, True
        elif one == {"erased": True}:
            found[path] = ERASED
        else:
            raise ValueError("an opening has salt and value, or is erased")
    return found


class Opened(NamedTuple):
    """What came of one entry's openings."""

    held: int
    erased: list[str]
    findings: list[Finding]


def judge(leaf: Leaf, shown: Openings | Seeded) -> Opened:
    """Hold what is shown against its commitments. Whether what is erased may be is known at the end of the log."""
    if isinstance(shown, Seeded):
        shown = {
            path: (b"" if text is None else salt_of(shown.seed, path), text, False)
            for path, text in zip(PATHS, shown.texts, strict=True)
        }
    held, erased, findings = 0, [], []
    for path, (salt, value, is_told) in shown.items():
        wanted = leaf.commits.get(path)
        if salt is not None and value is not None and wanted is not None:
            if b2a_base64(commitment(salt, path, value), newline=False).decode() == wanted:
                held += 1
                continue
        elif wanted is None and value is None and not is_told:
            continue
        if salt is None and wanted is not None:
            erased.append(path)
        if wrong := _wrong(path, salt, value, wanted):
            findings.append(Finding(Kind.COMMITMENT, leaf.place, f"entry {leaf.place}{wrong}"))
    return Opened(held, erased, findings)


def _wrong(path: str, salt: bytes | None, value: str | None, wanted: str | None) -> str | None:
    """What is wrong with an opening that does not hold, if anything is."""
    if wanted is None:
        return f" has no commitment to {path[:80]!r}"
    if salt is None:
        return None if value is None else f": {path} is erased, and something stands in its place"
    if value is None:
        return f": the value of {path} is gone, its salt is not"
    return f": what is shown of {path} is not what was committed to"


class Redaction(NamedTuple):
    """What one redaction leaf covers: members of entries, these as inclusive ranges."""

    paths: list[str]
    ranges: list[tuple[int, int]]


def redaction_of(leaf: Leaf) -> Redaction:
    """What a redaction leaf says. Raises Flaw when it does not say it in the agreed form."""
    public = leaf.public or {}
    paths, entries = public.get("paths"), public.get("entries")
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise Flaw("a redaction names its paths as a list of texts")
    if not isinstance(entries, list) or len(entries) > MOST_REDACTED:
        raise Flaw("a redaction names its entries as a list")
    return Redaction(paths, [_range(one) for one in entries])


def _range(one: object) -> tuple[int, int]:
    match [one, one] if isinstance(one, int) else one:
        case [int(first), int(last)] if 0 <= first <= last and not isinstance(one, bool):
            return first, last
    raise Flaw("a redaction names an entry by its index, or a range by [first, last]")


class Erasures:
    """What is erased, and what redactions cover."""

    def __init__(self) -> None:
        self._erased: dict[str, Spans] = defaultdict(Spans)
        self._covered: dict[str, Spans] = defaultdict(Spans)

    def erased(self, path: str, index: int) -> None:
        """A member of an entry is gone."""
        self._erased[path].add(index, index)

    def redacted(self, redaction: Redaction) -> None:
        """A leaf of the log says that members of entries were erased."""
        for path in redaction.paths:
            for first, last in redaction.ranges:
                self._covered[path].add(first, last)

    def count(self) -> int:
        """How many members are gone."""
        return sum(spans.count() for spans in self._erased.values())

    def findings(self) -> Iterator[Finding]:
        """What is gone without a redaction that covers it, one finding for each run of entries."""
        for path, spans in sorted(self._erased.items()):
            for first, last in _outside(spans, self._covered[path]):
                which = f"entry {first}" if first == last else f"entries {first} to {last}"
                yield Finding(
                    Kind.COMMITMENT, first, f"{path} of {which} is erased, and no redaction in the log says so"
                )


def _outside(inner: Spans, outer: Spans) -> Iterable[tuple[int, int]]:
    """The parts of `inner` that `outer` does not cover."""
    covers = list(outer)
    at = 0
    for first, last in inner:
        while at < len(covers) and covers[at][1] < first:
            at += 1
        place, here = first, at
        while place <= last and here < len(covers) and covers[here][0] <= last:
            if covers[here][0] > place:
                yield place, covers[here][0] - 1
            place = max(place, covers[here][1] + 1)
            here += 1
        if place <= last:
            yield place, last
