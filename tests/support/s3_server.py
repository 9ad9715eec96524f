"""A real S3 server (s3rver) as a process: it verifies signatures and clocks, and keeps its objects over a restart."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.npm_install import STORAGE, installed
from tests.support.processes import free_port

KEY_ID = "AKREEVETESTS"
SECRET = "s3cret/of+the=Tests-that-nobody-else-has"
BUCKET = "audit-log"
START_SECONDS = 30.0


class S3Server:
    """One server on a port of its own, with one bucket and one access key."""

    def __init__(self, folder: Path, *, tls: Mapping[str, str] | None = None, verifies: bool = True) -> None:
        self.port = free_port()
        self.folder = folder / "objects"
        self.tls = tls
        self.verifies = verifies
        self._log = folder / "requests.jsonl"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, or start it again with what it keeps; returns when it listens."""
        found = await asyncio.to_thread(installed, STORAGE)
        self.folder.mkdir(exist_ok=True)
        said = {
            "port": self.port, "folder": str(self.folder), "log": str(self._log), "buckets": [BUCKET],
            "keys": {KEY_ID: SECRET}, "tls": self.tls, "verifies": self.verifies,
        }  # fmt: skip
        self._process = await asyncio.create_subprocess_exec(
            str(found.node), str(found.script), json.dumps(said),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=None, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        assert line == b"listening\n", f"the server ended with {self._process.returncode}"

    async def stop(self) -> None:
        """Kill it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def target(self, **given: Any) -> dict[str, Any]:
        """The bucket as a sink's target; nothing waits for a batch to become full."""
        scheme = "https" if self.tls else "http"
        return {
            "kind": "s3", "endpoint": f"{scheme}://127.0.0.1:{self.port}", "bucket": BUCKET, "access_key_id": KEY_ID,
            "batch_seconds": 0, **given,
        }  # fmt: skip

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What it was asked, in order."""
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []

    @property
    def objects(self) -> dict[str, bytes]:
        """What the bucket holds, by name and in the order of names."""
        root, end = self.folder / BUCKET, "._S3rver_object"
        found = {str(path.relative_to(root)).removesuffix(end): path for path in root.rglob(f"*{end}")}
        return {name: found[name].read_bytes() for name in sorted(found)}

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every line of every object, in the order of names."""
        return [
            json.loads(line)
            for name, body in self.objects.items()
            for line in (gzip.decompress(body) if name.endswith(".gz") else body).splitlines()
        ]

    @property
    def sequences(self) -> list[int]:
        """The places of the log that are there, in the order of names."""
        return [line["sequence"] for line in self.lines]


@asynccontextmanager
async def running_s3(folder: Path, **given: Any) -> AsyncIterator[S3Server]:
    """A server that runs as long as the block does."""
    server = S3Server(folder, **given)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
