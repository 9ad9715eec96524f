"""A worker of exports as a process of its own, so that it can be killed.

It reads the database's URL and the folders from its command line and ends when no job waits.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from libs.common.database.engine import Database
from libs.common.exports.jobs import Policy
from libs.common.exports.manifest import ManifestSigner
from libs.common.exports.worker import ExportWorker
from libs.common.keys import load_or_create_ed25519
from services.audit.app import SPEAKS_AS
from services.audit.exports import AuditSource


async def main(url: str, folder: Path, key: Path) -> None:
    """Run what waits, with a checkpoint after each small window."""
    database = Database(url, schema="audit", application="export")
    source = AuditSource()
    source.window = 500
    policy = Policy(most_rows=10**6, most_bytes=2**30, most_seconds=600, kept_hours=1)
    signer = ManifestSigner(load_or_create_ed25519(key))
    one = ExportWorker(
        database, {source.name: source}, folder=folder, policy=policy, signer=signer, speaks_as=SPEAKS_AS,
        checkpoint_seconds=0.0,
    )  # fmt: skip
    while await one.turn():
        pass
    await database.close()


def cli(arguments: Sequence[str]) -> None:
    """Run with this command line."""
    url, folder, key = arguments
    asyncio.run(main(url, Path(folder), Path(key)))
