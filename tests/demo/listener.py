"""Listens to the platform's stream of live updates while the demonstration runs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson

from tests.demo.administrator import ADMIN, Administrator


class Listener:
    """Counts what the stream told, by type and subject."""

    def __init__(self, http: httpx.AsyncClient, admin: Administrator) -> None:
        self._http = http
        self._headers = admin.headers
        self._seen: Counter[tuple[str, str]] = Counter()
        self._open = asyncio.Event()

    def count(self, event_type: str, subject: str) -> int:
        """How often the stream told of an event of this type about this subject."""
        return self._seen[event_type, subject]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Listener"]:
        """Listen for as long as the block lasts."""
        task = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(10):
                await self._open.wait()
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self) -> None:
        url = f"{ADMIN}/stream?topics=settings,notifications"
        async with self._http.stream("GET", url, headers=self._headers, timeout=None) as response:
            response.raise_for_status()
            self._open.set()
            async for line in response.aiter_lines():
                if line.startswith("data: {") and '"type"' in line:
                    told = orjson.loads(line[6:])
                    self._seen[told["type"], told.get("subject") or ""] += 1
