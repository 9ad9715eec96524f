"""A file that grows by one signed note for each head, an empty line between two: the offline verifier takes it as it is."""

import asyncio
import os
from pathlib import Path

from libs.common.disk import sync_folder
from services.audit.anchors.anchor import Anchored, AnchorFailed

LAST_BYTES = 8192


class FileAnchor:
    """Appends and syncs. A file that the system lets nobody shorten (`chattr +a`, WORM storage) is enough."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def keep(self, *, size: int, note: str) -> Anchored:
        """Append the note, unless it is the last one already."""
        try:
            await asyncio.to_thread(self._append, note.encode())
        except OSError as error:
            raise AnchorFailed(f"{self._path.name}: {error.strerror or type(error).__name__}") from error
        return Anchored()

    def _append(self, note: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            length = os.fstat(file).st_size
            if os.pread(file, LAST_BYTES, max(0, length - LAST_BYTES)).endswith(note):
                return
            whole = b"\n" + note if length else note
            if os.write(file, whole) != len(whole):
                raise OSError(0, "a note was cut short")
            os.fsync(file)
        finally:
            os.close(file)
        if is_new:
            sync_folder(self._path.parent)
