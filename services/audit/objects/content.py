"""What an object is to hold, with both of its digests: stores differ in which one they verify."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes, or a file that nobody changes meanwhile; `sha256` and `md5` have 32 and 16 bytes."""

    body: bytes | Path
    size: int
    sha256: bytes
    md5: bytes

    @contextmanager
    def opened(self) -> Iterator[bytes | IO[bytes]]:
        """What is sent."""
        if isinstance(self.body, bytes):
            yield self.body
            return
        with self.body.open("rb") as file:
            yield file


def content_of(body: bytes) -> Content:
    """Of bytes."""
    return Content(body, len(body), hashlib.sha256(body).digest(), hashlib.md5(body, usedforsecurity=False).digest())


def content_of_file(path: Path) -> Content:
    """Of a file, which is read to its end: call it in a thread."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return Content(path, size, sha256.digest(), md5.digest())
