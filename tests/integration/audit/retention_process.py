"""A turn of retention as a process of its own, so that it can be killed: `python -m tests.integration.audit.retention_process`."""

import asyncio
import sys
from pathlib import Path

from libs.common.database.engine import Database
from libs.common.exports.manifest import ManifestSigner
from libs.common.keys import load_or_create_ed25519
from services.audit.archives.archivist import Archivist
from services.audit.archives.folder import ArchiveFolder
from services.audit.retention import Retention


async def main(url: str, folder: Path, key: Path, verifier_key: str) -> None:
    """One turn, in small steps."""
    database = Database(url, schema="audit", application="retention")
    archivist = Archivist(
        database, folder, ArchiveFolder(folder), signer=ManifestSigner(load_or_create_ed25519(key)), key=verifier_key
    )
    await Retention(database, archivist, days=365, most_archived=250, most_pruned=50).turn()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
