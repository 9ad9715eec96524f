"""A time-stamping authority for tests: `openssl ts` behind a small HTTP server, with a certificate of its own."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.support.receivers import serve

CONFIG = """
[tsa]
default_tsa = tsa1
[tsa1]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/root.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class Timestamper:
    """Where it listens, and the certificate that it leads to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.roots = folder / "root.pem"
        self.queries: list[bytes] = []
        self.spoil = False
        """Answer what was asked before, as somebody who replays does."""
        self._last = b""

    def make(self) -> None:
        """Keys and certificates."""
        (self.folder / "tsa.cnf").write_text(CONFIG.format(folder=self.folder), encoding="ascii")
        (self.folder / "serial").write_text("01\n", encoding="ascii")
        (self.folder / "ext").write_text("extendedKeyUsage=critical,timeStamping\n", encoding="ascii")
        for command in (
            "req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 2 -subj /CN=root",
            "req -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.csr -subj /CN=tsa",
            "x509 -req -in tsa.csr -CA root.pem -CAkey root.key -set_serial 7 -out tsa.pem -days 2 -extfile ext",
        ):
            self.openssl(*command.split())

    def openssl(self, *arguments: str) -> bytes:
        """Run it in the folder."""
        program = shutil.which("openssl")
        assert program is not None, "these tests need the program openssl"
        return subprocess.run([program, *arguments], cwd=self.folder, check=True, capture_output=True).stdout

    async def stamp(self, request: web.Request) -> web.Response:
        """Answer one query."""
        query = await request.read()
        self.queries.append(query)
        if self.spoil:
            return web.Response(body=self._last, content_type="application/timestamp-reply")
        (self.folder / "query").write_bytes(query)
        await asyncio.to_thread(
            self.openssl, "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "answer"
        )
        self._last = (self.folder / "answer").read_bytes()
        return web.Response(body=self._last, content_type="application/timestamp-reply")


@asynccontextmanager
async def timestamper() -> AsyncIterator[Timestamper]:
    """One that listens until the block ends."""
    with tempfile.TemporaryDirectory(prefix="reeve-tsa-") as folder:
        found = Timestamper(Path(folder))
        await asyncio.to_thread(found.make)
        async with serve(found.stamp) as found.url:
            yield found
