"""A folder of this machine. What was not verified yet bears another name in it."""

import asyncio
import os
from pathlib import Path

from libs.common.disk import sync_folder
from services.audit.archives.place import ArchiveRefused
from services.audit.objects.content import content_of_file

MANIFEST = ".manifest.jws"
"""What the name of a manifest's signature ends in, behind its archive's name."""


class ArchiveFolder:
    """Gives names by renaming: a file is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def name(self, *, first: int, ends: int, sha256: bytes) -> str:
        """Of the entries alone: who writes is alone, and replaces what a crash left."""
        return f"reeve-audit-{first}-{ends}.jsonl.gz"

    async def keep(self, path: Path, name: str, *, size: int, sha256: bytes, signature: str) -> None:
        """Rename it; files and folder are on the disk."""
        await asyncio.to_thread(_keep, path, self._folder / name, signature)

    async def measure(self, name: str) -> tuple[int, bytes]:
        """Read it to its end."""
        try:
            found = await asyncio.to_thread(content_of_file, self._folder / name)
        except OSError as error:
            raise ArchiveRefused(f"{name} cannot be read: {error.strerror}") from error
        return found.size, found.sha256


def _keep(beside: Path, path: Path, signature: str) -> None:
    manifest = path.with_name(f"{path.name}{MANIFEST}")
    with manifest.open("w", encoding="ascii") as file:
        file.write(signature)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)
