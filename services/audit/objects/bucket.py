"""A bucket that an operator configured, with the key to it."""

from libs.common.events.sinks import S3Target
from services.audit.objects.content import Content
from services.audit.objects.storage import ObjectStorage


class Bucket:
    """Writes and reads objects there. Both raise `StorageFailed`; the caller bounds the time."""

    def __init__(self, storage: ObjectStorage, target: S3Target, secret: str) -> None:
        self._storage = storage
        self._target = target
        self._secret = secret

    async def put(self, name: str, content: Content, *, kind: str) -> None:
        """Write an object of media type `kind`."""
        await self._storage.put(self._target, self._secret, name, content, kind=kind)

    async def measure(self, name: str) -> tuple[int, bytes]:
        """The bytes of an object, and their SHA-256."""
        return await self._storage.measure(self._target, self._secret, name)
