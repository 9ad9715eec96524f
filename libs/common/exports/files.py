"""A growing file of bytes: written and compressed beside the event loop, whole at every checkpoint.

At a checkpoint a gzip member or a zstd frame ends (RFC 1952, 2.2; RFC 8878, 3: both may follow one another), so that
whatever lies before it is a valid file, and another worker can go on behind it.
"""

import asyncio
import contextlib
import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

Compression = Literal["none", "gzip", "zstd"]
COMPRESSIONS: tuple[Compression, ...] = ("none", "gzip", "zstd")
CHUNK_BYTES = 1024 * 1024
GZIP_LEVEL = 6
ZSTD_LEVEL = 3
_GZIP_WINDOW = 31
"""zlib's way to say: 32 KiB of window, with gzip's head and tail."""


class _Packer(Protocol):
    def add(self, data: bytes | bytearray) -> bytes | bytearray: ...
    def end(self) -> bytes: ...


class _Plain:
    def add(self, data: bytes | bytearray) -> bytes | bytearray:
        return data

    def end(self) -> bytes:
        return b""


class _Gzip:
    def __init__(self) -> None:
        self._member = self._new()
        self._is_empty = True

    def add(self, data: bytes | bytearray) -> bytes:
        self._is_empty = False
        return self._member.compress(data)

    def end(self) -> bytes:
        if self._is_empty:
            return b""
        member, self._member, self._is_empty = self._member, self._new(), True
        return member.flush()

    def _new(self) -> "zlib._Compress":
        return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)


class _Zstd:
    def __init__(self) -> None:
        # Imported where it is used: a service that exports nothing pays nothing.
        from backports import zstd  # noqa: PLC0415

        self._frames: Any = zstd.ZstdCompressor(level=ZSTD_LEVEL)
        self._ends = zstd.ZstdCompressor.FLUSH_FRAME
        self._is_empty = True

    def add(self, data: bytes | bytearray) -> bytes:
        self._is_empty = False
        return bytes(self._frames.compress(data))

    def end(self) -> bytes:
        if self._is_empty:
            return b""
        self._is_empty = True
        return bytes(self._frames.flush(self._ends))


def _packer(compression: Compression) -> _Packer:
    match compression:
        case "none":
            return _Plain()
        case "gzip":
            return _Gzip()
        case "zstd":
            return _Zstd()


class ByteFile:
    """Appends to a new file, or to a copy of the first `kept` bytes of an earlier one."""

    is_resumable = True

    def __init__(self, path: Path, compression: Compression) -> None:
        self._path = path
        self._packer = _packer(compression)
        self._waiting = bytearray()
        self._writing: asyncio.Future[None] | None = None
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0)
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The digest of everything that was written, in hexadecimal: taken beside the event loop, as it is written."""
        return self._digest.hexdigest()

    async def go_on(self, earlier: Path, kept: int) -> None:
        """Begin with what an earlier worker had made durable; its own file it may still write, this one it cannot."""
        await asyncio.to_thread(self._copy, earlier, kept)

    async def write(self, data: bytes) -> None:
        """Append; one chunk is written while the next one fills, and no more than these two are in memory."""
        self._waiting += data
        if len(self._waiting) >= CHUNK_BYTES:
            await self._written()
            chunk, self._waiting = self._waiting, bytearray()
            self._writing = asyncio.get_running_loop().run_in_executor(None, self._pack, chunk)

    async def checkpoint(self) -> int:
        """Make everything durable and valid so far; returns the size."""
        await self._written()
        await asyncio.to_thread(self._settle)
        return self.size

    async def finish(self) -> int:
        """The last checkpoint; nothing is written after it."""
        size = await self.checkpoint()
        self._file.close()
        return size

    async def abandon(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(OSError):
            await self._written()
        self._file.close()

    async def _written(self) -> None:
        """Wait for the chunk that is being written. Raises what that raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    def _copy(self, earlier: Path, kept: int) -> None:
        with earlier.open("rb") as source:
            while self.size < kept:
                data = source.read(min(CHUNK_BYTES, kept - self.size))
                if not data:
                    raise OSError(f"{earlier.name} has {self.size} bytes, not {kept}")
                self._append(data)

    def _pack(self, chunk: bytearray) -> None:
        self._append(self._packer.add(chunk))

    def _settle(self) -> None:
        if self._waiting:
            chunk, self._waiting = self._waiting, bytearray()
            self._pack(chunk)
        self._append(self._packer.end())
        os.fsync(self._file.fileno())

    def _append(self, data: bytes | bytearray) -> None:
        self._digest.update(data)
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            self.size += written
            view = view[written:]


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, from the disk."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_strays(folder: Path, needed: Iterable[str], *, older_than: float) -> int:
    """Remove files that nobody needs and nobody has touched since `older_than` (seconds of the clock); how many."""
    keep, removed = frozenset(needed), 0
    for file in folder.iterdir():
        if file.name not in keep and file.is_file() and file.stat().st_mtime < older_than:
            file.unlink(missing_ok=True)
            removed += 1
    return removed
