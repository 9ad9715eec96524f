"""Archives of the log: a part of it copied into a file, and the copy verified by the offline verifier in a process of its own.

A file is in the form that the verifier reads, and beside it is `.manifest.jws`, signed with the key of the exports. Until it was
verified it bears another name in a folder here, and a crash leaves nothing but that.
"""

import asyncio
import contextlib
import gzip
import os
import sys
from pathlib import Path
from typing import Any

import orjson

import services
from libs.common.crashpoint import crashpoint
from libs.common.database.engine import Database
from libs.common.errors import Unavailable
from libs.common.exports.manifest import ManifestSigner
from services.audit.archives.place import ArchivePlace, ArchiveRefused
from services.audit.objects.content import content_of_file
from services.audit.store import archives as store
from services.audit.store.archives import Archive
from services.audit.store.checkpoints import StoredCheckpoint

FORMAT = "reeve-archive/1"
LINES_AT_ONCE = 500
UNVERIFIED = "new-"
"""How the name of a file begins that nobody has verified yet."""
VERIFY_SECONDS = 600.0
PRODUCER_GAP = 15
"""What the log itself lacks is no fault of the copy; everything else that the verifier finds is."""
LONGEST_SILENCE = "1000000000"


class Archivist:
    """Writes files in `folder`, and keeps and checks them in `place`. `key` is the log's verifier key, as text."""

    def __init__(
        self, database: Database, folder: Path, place: ArchivePlace, *, signer: ManifestSigner, key: str
    ) -> None:
        self._database = database
        self._folder = folder.absolute()
        self._place = place
        self._signer = signer
        self._key = key

    async def write(self, *, first: int, head: StoredCheckpoint) -> Archive:
        """Copy the entries `first` to before the head's size, verify the copy, and keep it. Raises `ArchiveRefused`."""
        await asyncio.to_thread(_clear, self._folder)
        beside = self._folder / f"{UNVERIFIED}{first}-{head.size}.jsonl.gz"
        opened = await self._copy(beside, first=first, head=head)
        crashpoint("retention.after_copy")
        await self._verify(beside, first=first, ends=head.size, opened=opened)
        content = await asyncio.to_thread(content_of_file, beside)
        name = self._place.name(first=first, ends=head.size, sha256=content.sha256)
        said = {
            "format": FORMAT,
            "first": first,
            "ends": head.size,
            "opened": opened,
            "file": {"name": name, "bytes": content.size, "sha256": content.sha256.hex()},
            "checkpoint": head.note,
        }
        manifest, signature = self._signer.sign(said)
        await self._place.keep(beside, name, size=content.size, sha256=content.sha256, signature=signature)
        crashpoint("retention.after_verify")
        return Archive(first, head.size, name, content.size, content.sha256, manifest, signature)

    async def check(self, archive: Archive) -> None:
        """Raise `ArchiveRefused` unless the file still is what was verified, byte by byte."""
        if await self._place.measure(archive.file) != (archive.size, archive.sha256):
            raise ArchiveRefused(f"{archive.file} is not the file that was verified")

    async def _copy(self, path: Path, *, first: int, head: StoredCheckpoint) -> int:
        """Write all lines; returns how many private members they open."""
        opened = 0
        with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
            async with self._database.reading() as session:
                await asyncio.to_thread(file.write, await store.header(session, first=first, head=head))
            for start in range(first, head.size, LINES_AT_ONCE):
                async with self._database.reading() as session:
                    try:
                        some = await store.lines(session, first=start, ends=min(start + LINES_AT_ONCE, head.size))
                    except ValueError as error:
                        raise ArchiveRefused(str(error)) from error
                opened += some.opened
                await asyncio.to_thread(file.write, some.content)
            await asyncio.to_thread(file.close)
            raw.flush()
            await asyncio.to_thread(os.fsync, raw.fileno())
        return opened

    async def _verify(self, path: Path, *, first: int, ends: int, opened: int) -> None:
        verdict = await self._verdict(path)
        codes = {found["code"] for found in verdict["findings"]} - {PRODUCER_GAP}
        checked, head = verdict["checked"], verdict["head"] or {}
        if codes or (checked["entries"], checked["opened"], head.get("size")) != (ends - first, opened, ends):
            told = [text for found in verdict["findings"] if found["code"] in codes for text in found["examples"][:1]]
            raise ArchiveRefused(f"the copy of entries {first} to {ends - 1} does not hold: {'; '.join(told) or 'cut'}")

    async def _verdict(self, path: Path) -> dict[str, Any]:
        """What the verifier says, in a process that shares nothing with this one. Raises `ArchiveRefused` without a verdict."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.audit.verifier", str(path), "--key", self._key, "--json",
            "--quiet", "--silence", LONGEST_SILENCE, "--processes", "1",
            cwd=Path(services.__path__[0]).parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(VERIFY_SECONDS):
                said, complained = await process.communicate()
        except TimeoutError as error:
            raise Unavailable(f"the verifier took more than {VERIFY_SECONDS:.0f} s", code="verifier_slow") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        try:
            verdict: dict[str, Any] = orjson.loads(said)
        except ValueError as error:
            raise ArchiveRefused(f"the verifier cannot read it: {complained.decode(errors='replace')[:200]}") from error
        return verdict


def _clear(folder: Path) -> None:
    """Make the folder, and remove what a crash left in it: whoever writes is alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob(f"{UNVERIFIED}*"):
        left.unlink(missing_ok=True)
