"""A witness (C2SP tlog-witness): given each head with a proof that it continues the last one, it answers with its cosignature.

The answer is verified before it counts: by the key that the operator named, over this very head, at about this time. What a
witness says of its own size is believed only as far as the log can prove that it grew from there.
"""

import base64
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from libs.common.egress.destinations import Network
from services.audit.anchors.anchor import Anchored, AnchorFailed, Cosigned
from services.audit.anchors.asking import asking, content_of
from services.audit.log.cosignatures import WitnessKey, find_cosignature
from services.audit.log.notes import NoteRefused, parted

WHO = "the witness"
SECONDS = 15.0
MOST_ANSWER_BYTES = 128 * 1024
MOST_SKEW_SECONDS = 300
SIZE_TYPE = "text/x.tlog.size"
_SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\n?", re.ASCII)
_SAID = {
    400: "the witness cannot read the request",
    403: "the witness does not know the key that signed the head",
    404: "the witness does not know this log: give its operator the log's verifier key",
}

Prove = Callable[[int, int], Awaitable[Sequence[bytes]]]
"""The consistency proof from one size of the log to another. Raises `ValueError` where hashes lack."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answered."""

    status: int
    kind: str
    content: bytes


class WitnessAnchor:
    """Has each head cosigned by one witness."""

    def __init__(
        self, url: str, key: WitnessKey, *, prove: Prove, allowed: Sequence[Network] = (), seconds: float = SECONDS
    ) -> None:
        self.name = f"witness {key.name}+{key.key_id.hex()}"
        self._url = f"{url.rstrip('/')}/add-checkpoint"
        self._key = key
        self._prove = prove
        self._allowed = allowed
        self._seconds = seconds
        self._size = 0
        """Where the witness is, as far as it told; it says so itself when that is wrong."""

    async def keep(self, *, size: int, note: str) -> Anchored:
        """The verified cosignature of one head. A witness that is elsewhere than it was taken to be is asked once more."""
        answer = await self._add(size, note)
        if answer.status == 409:
            self._size = self._told(answer, size)
            answer = await self._add(size, note)
        if answer.status == 422:
            raise AnchorFailed(
                f"the witness has seen another log: the head of size {size} does not continue what it cosigned at"
                f" size {self._size}",
                contradicts=True,
            )
        if answer.status != 200:
            raise AnchorFailed(f"{_SAID.get(answer.status, 'the witness answered')} ({answer.status})")
        cosigned = self._verified(answer, note, now=int(time.time()))
        self._size = size
        return Anchored(cosigned=cosigned)

    async def _add(self, size: int, note: str) -> Answer:
        old = self._size if self._size <= size else 0
        try:
            proof = await self._prove(old, size)
        except ValueError as error:
            raise AnchorFailed(f"the log cannot prove that it grew from {old} to {size} leaves") from error
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
        return await self._ask(f"old {old}\n{hashes}\n{note}".encode())

    async def _ask(self, body: bytes) -> Answer:
        headers = {"content-type": "text/plain; charset=utf-8"}
        async with asking(
            self._url, body, headers=headers, who=WHO, allowed=self._allowed, seconds=self._seconds
        ) as answer:
            content = await content_of(answer, most=MOST_ANSWER_BYTES, who=WHO)
        return Answer(answer.status, answer.headers.get("content-type", ""), content)

    def _told(self, answer: Answer, size: int) -> int:
        """The size at which a witness says that it is."""
        found = _SIZE.fullmatch(answer.content.decode("ascii", "replace"))
        if answer.kind.partition(";")[0].strip().lower() != SIZE_TYPE or found is None:
            raise AnchorFailed("the witness answered 409 without its size")
        told = int(found[1])
        if told > size:
            raise AnchorFailed(
                f"the witness has cosigned a head of size {told}, and the log's has {size}: the log was cut back, or"
                " somebody else signs under its name",
                contradicts=True,
            )
        return told

    def _verified(self, answer: Answer, note: str, *, now: int) -> Cosigned:
        """The cosignature in an answer; lines of other keys are passed over."""
        try:
            text, lines = parted(note + answer.content.decode())
            cosignature = find_cosignature(text, lines, self._key)
        except (UnicodeDecodeError, NoteRefused) as error:
            raise AnchorFailed(f"the witness's answer does not hold: {error}") from error
        if cosignature is None:
            raise AnchorFailed(f"the witness's answer bears no cosignature of {self._key.text}")
        if abs(cosignature.time - now) > MOST_SKEW_SECONDS:
            raise AnchorFailed(
                f"the witness's cosignature is of another time: {cosignature.time - now:+d} s, at most {MOST_SKEW_SECONDS}"
            )
        return Cosigned(self._key, cosignature)
