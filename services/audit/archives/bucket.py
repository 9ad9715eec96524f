"""A bucket of storage that speaks S3. What was written is read back, and counts when every byte is as it was verified."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.common.errors import Unavailable
from services.audit.archives.folder import MANIFEST
from services.audit.archives.place import ArchiveRefused
from services.audit.objects.bucket import Bucket
from services.audit.objects.content import Content, content_of, content_of_file
from services.audit.objects.refusals import StorageFailed

TRANSFER_SECONDS = 600.0
HASH_CHARACTERS = 32
"""Of the SHA-256 in hex that a name has: 128 bits."""
ZIPPED, SIGNATURE = "application/gzip", "application/jose"


class ArchiveBucket:
    """Writes each file under a name of its own content, so that nothing is ever replaced by something else."""

    def __init__(self, bucket: Bucket, *, seconds: float = TRANSFER_SECONDS) -> None:
        self._bucket = bucket
        self._seconds = seconds

    def name(self, *, first: int, ends: int, sha256: bytes) -> str:
        """Of the entries and the content: what a crash left may be locked, and then stays beside."""
        return f"reeve-audit-{first}-{ends}-{sha256.hex()[:HASH_CHARACTERS]}.jsonl.gz"

    async def keep(self, path: Path, name: str, *, size: int, sha256: bytes, signature: str) -> None:
        """Write the file and its signature, read both back, and remove the one here."""
        content = await asyncio.to_thread(content_of_file, path)
        if (content.size, content.sha256) != (size, sha256):
            raise ArchiveRefused(f"{path.name} changed after it was verified")
        await self._write(name, content, kind=ZIPPED)
        await self._write(f"{name}{MANIFEST}", content_of(signature.encode("ascii")), kind=SIGNATURE)
        await asyncio.to_thread(path.unlink)

    async def measure(self, name: str) -> tuple[int, bytes]:
        """Read it to its end."""
        async with self._judging(name):
            return await self._bucket.measure(name)

    async def _write(self, name: str, content: Content, *, kind: str) -> None:
        try:
            async with self._judging(name):
                await self._bucket.put(name, content, kind=kind)
        except _IsThere:
            # An attempt before this one wrote it, which the next lines verify.
            pass
        if await self.measure(name) != (content.size, content.sha256):
            raise ArchiveRefused(f"{name} is not in the storage as it was written")

    @asynccontextmanager
    async def _judging(self, name: str) -> AsyncIterator[None]:
        """Bounds the time, and tells what a person must mend from what may be better later."""
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError as error:
            raise Unavailable(f"{name}: the storage took more than {self._seconds:g} s", code="storage_slow") from error
        except StorageFailed as failed:
            if failed.is_there:
                raise _IsThere from failed
            if failed.needs_person:
                raise ArchiveRefused(f"{name}: {failed}") from failed
            raise Unavailable(f"{name}: {failed}", code="storage_unavailable") from failed


class _IsThere(Exception):
    """The name is taken, and nothing is replaced."""
