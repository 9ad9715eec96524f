"""Sends entries to storage that speaks S3: a batch is one object, of a line of JSON for each entry.

Its name says the day of the first entry, the first and the last sequence, and the hash of its lines: the same entries are
the same object, however often and by whomever they are sent, and others never replace them.
"""

import asyncio
import gzip
import hashlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

from libs.common.events.sinks import S3Target
from services.audit.models.sinks import Batch, SendFailed, error_text, seconds_of
from services.audit.objects.content import Content, content_of
from services.audit.objects.refusals import StorageFailed
from services.audit.objects.storage import ObjectStorage

PLAIN, ZIPPED = "application/x-ndjson", "application/gzip"
LEVEL = 6
HASH_CHARACTERS = 32
"""Of the SHA-256 in hex that a name has: 128 bits."""


class S3Sender:
    """Sends to any s3 target. The storage judges addresses."""

    def __init__(self, storage: ObjectStorage, *, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._clock = clock

    async def send(self, target: Mapping[str, Any], batch: Batch, *, secret: bytes) -> None:
        """Write a batch and wait until it is confirmed. Raises `SendFailed`. The caller bounds the time."""
        place = S3Target.model_validate(target)
        name, content = await asyncio.to_thread(object_of, batch, zips=place.gzip)
        try:
            await self._storage.put(place, secret.decode(), name, content, kind=ZIPPED if place.gzip else PLAIN)
        except StorageFailed as failed:
            if failed.is_there and place.write_once:
                # An attempt before this one was confirmed and not heard: only these very lines have this name.
                return
            raise SendFailed(
                error_text(failed),
                retry_after_seconds=seconds_of(failed.retry_after, now=self._clock()),
                needs_person=failed.needs_person,
            ) from failed


def object_of(batch: Batch, *, zips: bool) -> tuple[str, Content]:
    """Name and content: the same for the same entries."""
    lines = b"".join(entry.body + b"\n" for entry in batch.entries)
    body = gzip.compress(lines, LEVEL, mtime=0) if zips else lines
    return f"{_stem(batch, lines)}.jsonl{'.gz' if zips else ''}", content_of(body)


def _stem(batch: Batch, lines: bytes) -> str:
    first, last = batch.entries[0], batch.entries[-1]
    if batch.is_test:
        return f"test/{first.id}"
    day = first.created_at.astimezone(UTC).strftime("%Y/%m/%d")
    digest = hashlib.sha256(lines).hexdigest()[:HASH_CHARACTERS]
    return f"{day}/{first.sequence:016d}-{last.sequence:016d}-{digest}"
