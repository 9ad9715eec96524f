"""What every place for archives is, and how one refuses."""

from pathlib import Path
from typing import Protocol


class ArchiveRefused(Exception):
    """A file is not what it must be before anything is removed; the message says why."""


class ArchivePlace(Protocol):
    """Keeps files. The same file may come again after a crash."""

    def name(self, *, first: int, ends: int, sha256: bytes) -> str:
        """What a file with the entries `first` to before `ends` is called there."""
        ...

    async def keep(self, path: Path, name: str, *, size: int, sha256: bytes, signature: str) -> None:
        """Take a verified file, and beside it the signature of its manifest. When this returns both are there to stay.

        Raises `ArchiveRefused`, and `Unavailable` or `OSError` for what may be better later.
        """
        ...

    async def measure(self, name: str) -> tuple[int, bytes]:
        """The bytes of a file that is kept, and their SHA-256. Raises as `keep` does."""
        ...
