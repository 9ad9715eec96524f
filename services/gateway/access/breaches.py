"""Lists of passwords that were found in breaches: a server that is asked by prefix, and a file.

Both know passwords by their SHA-1. A server is told the first five of its forty digits and answers with all that begin
so (k-anonymity, as Have I Been Pwned's range API does), padded, so that not even the length of the answer tells.
"""

import asyncio
import re
from pathlib import Path
from typing import Protocol

from libs.common.egress.destinations import ForbiddenDestination
from services.gateway.access.issuers.egress import Egress
from services.gateway.access.issuers.models import IssuerUnavailable, origin_of

CALL_SECONDS = 2.0
MOST_ANSWER_BYTES = 1024 * 1024
MOST_LINE_BYTES = 100
_PREFIX_DIGITS = 5
_LINE = re.compile(rb"[0-9A-Fa-f]{40}(:[0-9]+)?\r?\n?")


class BreachListUnavailable(Exception):
    """A list could not be asked. The message names neither digits nor a password."""


class BreachList(Protocol):
    """Knows passwords that others know."""

    @property
    def name(self) -> str: ...

    async def holds(self, digest: str) -> bool:
        """Whether a password with this SHA-1 (40 capital hexadecimal digits) is on it. Raises `BreachListUnavailable`."""
        ...


class RangeList:
    """A server of the shape of Have I Been Pwned's: `GET <url>/range/<5 digits>` answers lines of `<35 digits>:<count>`."""

    name = "server"

    def __init__(self, url: str, egress: Egress) -> None:
        self._url = url.rstrip("/")
        self._egress = egress

    async def holds(self, digest: str) -> bool:
        """As `BreachList` says; within two seconds."""
        prefix, rest = digest[:_PREFIX_DIGITS], digest[_PREFIX_DIGITS:]
        try:
            answer = await self._egress.get(
                f"{self._url}/range/{prefix}",
                origins=(origin_of(self._url),),
                headers={"Add-Padding": "true", "Accept": "text/plain"},
            )
        except (IssuerUnavailable, ForbiddenDestination) as error:
            raise BreachListUnavailable(type(error).__name__) from error
        if answer.status != 200:
            raise BreachListUnavailable(f"status {answer.status}")
        return _is_in(answer.body.decode("ascii", "replace"), rest)


class FileList:
    """A file of lines `<SHA-1>` or `<SHA-1>:<count>`, sorted, as Have I Been Pwned's downloader writes it."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        """Raise `ValueError` unless the file can be read and its first line is of that shape."""
        try:
            with self._path.open("rb") as file:
                first = file.readline(MOST_LINE_BYTES)
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from error
        if not _LINE.fullmatch(first):
            raise ValueError("must be lines of SHA-1 in hexadecimal digits, sorted")

    async def holds(self, digest: str) -> bool:
        """As `BreachList` says; a binary search, some thirty short reads of a file of any size."""
        try:
            return await asyncio.to_thread(self._search, digest.encode("ascii"))
        except OSError as error:
            raise BreachListUnavailable(type(error).__name__) from error

    def _search(self, digest: bytes) -> bool:
        """Lines differ in length, so a place in the middle is brought to the line that begins at or after it."""
        with self._path.open("rb") as file:
            low, high = 0, file.seek(0, 2)
            while low < high:
                middle = (low + high) // 2
                # From one byte earlier: a line that begins exactly here is not skipped.
                file.seek(max(0, middle - 1))
                if middle > 0:
                    file.readline(MOST_LINE_BYTES)
                line = file.readline(MOST_LINE_BYTES)
                found = line[:40].upper()
                if found == digest:
                    return True
                if not line or found > digest:
                    high = middle
                else:
                    low = file.tell()
            return False


def _is_in(body: str, rest: str) -> bool:
    for line in body.splitlines():
        suffix, _, count = line.strip().partition(":")
        # Padding is made of digits that stand for no password: their count is 0.
        if suffix.upper() == rest:
            return count != "0"
    return False
