"""A turn of retention as a process of its own, so that it can be killed."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from libs.common.database.engine import Database
from libs.common.events.sinks import S3Target
from libs.common.exports.manifest import ManifestSigner
from libs.common.keys import load_or_create_ed25519
from services.audit.archives.archivist import Archivist
from services.audit.archives.bucket import ArchiveBucket
from services.audit.archives.folder import ArchiveFolder
from services.audit.archives.place import ArchivePlace
from services.audit.objects.bucket import Bucket
from services.audit.objects.storage import ObjectStorage
from services.audit.retention import Retention
from tests.support.s3_server import SECRET


async def main(url: str, folder: Path, key: Path, verifier_key: str, target: str) -> None:
    """One turn, in small steps; with a target the archives are kept in that bucket."""
    database = Database(url, schema="audit", application="retention")
    storage = ObjectStorage(trusts_loopback=True)
    place: ArchivePlace = ArchiveFolder(folder)
    if target:
        place = ArchiveBucket(Bucket(storage, S3Target.model_validate_json(target), SECRET))
    archivist = Archivist(database, folder, place, signer=ManifestSigner(load_or_create_ed25519(key)), key=verifier_key)
    await Retention(database, archivist, days=365, most_archived=250, most_pruned=50).turn()
    await storage.close()
    await database.close()


def cli(arguments: Sequence[str]) -> None:
    """Run with this command line."""
    url, folder, key, verifier_key, target = arguments
    asyncio.run(main(url, Path(folder), Path(key), verifier_key, target))
