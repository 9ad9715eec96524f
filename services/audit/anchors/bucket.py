"""A bucket that gets an object for each head: with object lock nobody rewrites it, whoever owns database and keys."""

import asyncio

from services.audit.anchors.anchor import Anchored, AnchorFailed
from services.audit.objects.bucket import Bucket
from services.audit.objects.content import content_of
from services.audit.objects.refusals import StorageFailed

SECONDS = 15.0
KIND = "text/plain; charset=utf-8"


class BucketAnchor:
    """Objects are named by the size of the head, so that they sort as the log grew."""

    name = "bucket"

    def __init__(self, bucket: Bucket, *, seconds: float = SECONDS) -> None:
        self._bucket = bucket
        self._seconds = seconds

    async def keep(self, *, size: int, note: str) -> Anchored:
        """Write one head. Where nothing is replaced and its name is taken, the object must be this very note."""
        name, content = f"checkpoint-{size:016d}.txt", content_of(note.encode())
        try:
            async with asyncio.timeout(self._seconds):
                try:
                    await self._bucket.put(name, content, kind=KIND)
                except StorageFailed as failed:
                    if not failed.is_there:
                        raise
                    if await self._bucket.measure(name) != (content.size, content.sha256):
                        raise AnchorFailed(f"{name} holds another head than the log's", contradicts=True) from failed
        except StorageFailed as failed:
            raise AnchorFailed(str(failed)) from failed
        except TimeoutError as error:
            raise AnchorFailed(f"the storage did not answer within {self._seconds:g} seconds") from error
        return Anchored()
