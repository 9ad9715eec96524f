"""Exports of the audit log beside `COPY ... TO STDOUT (FORMAT csv)` of the same columns, both sides in one run.

Ours is the whole job: claimed, read, written to a file that is synced, its digest taken, its manifest signed, committed.
"""

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.database import exports as store
from libs.common.database.engine import Database
from libs.common.events.all_types import CATALOG
from libs.common.exports.jobs import Policy
from libs.common.exports.manifest import ManifestSigner
from libs.common.exports.worker import ExportWorker
from libs.common.ids import new_uuid
from services.audit.app import SPEAKS_AS
from services.audit.exports import AuditSource
from services.audit.models.entries import describe
from services.audit.store import wire
from services.audit.store.entries import COLUMNS, entry_ids
from services.audit.store.search import SHOWN
from tests.bench.audit_figures import an_entry_event
from tests.support.postgres import PlatformDatabases

SEEDED_AT_ONCE = 10_000
ROUNDS = 3
GENEROUS = Policy(most_rows=10**9, most_bytes=2**40, most_seconds=36_000, kept_hours=1)


async def export_figures(admin_url: str, *, rows: int) -> dict[str, Any]:
    """Rows per second of COPY and of each format; the median of three rounds, in turn."""
    databases = PlatformDatabases(admin_url)
    try:
        platform = await databases.make("audit")
        database = platform.database("audit", statement_timeout_seconds=600)
        await _seed(database, rows)
        measured: dict[str, list[float]] = {}
        with tempfile.TemporaryDirectory(prefix="reeve-bench-") as folder:
            for _ in range(ROUNDS):
                measured.setdefault("copy", []).append(rows / await _copied(database))
                for export_format, compression in (
                    ("jsonl", "none"),
                    ("jsonl", "zstd"),
                    ("csv", "none"),
                    ("parquet", "zstd"),
                ):
                    seconds = await _exported(database, Path(folder), export_format, compression, rows=rows)
                    name = export_format if compression == "none" else f"{export_format}_{compression}"
                    measured.setdefault(name, []).append(rows / seconds)
        await database.close()
        await databases.give_back(platform)
        return {"rows": rows, **{name: round(statistics.median(found)) for name, found in measured.items()}}
    finally:
        await databases.close()


async def _seed(database: Database, rows: int) -> None:
    connection: Any = await database.dedicated()
    await wire.prepare(connection)
    for first in range(0, rows, SEEDED_AT_ONCE):
        places = range(first, min(first + SEEDED_AT_ONCE, rows))
        entries = [describe(an_entry_event(place, 2), producer="gateway", catalog=CATALOG) for place in places]
        records = [(place, name, *entry) for place, name, entry in zip(places, entry_ids(places), entries, strict=True)]
        await connection.copy_records_to_table("entries", columns=COLUMNS, records=records)
    await connection.execute("UPDATE log_state SET size = $1", rows)
    await connection.close()


async def _copied(database: Database) -> float:
    """Seconds of Postgres' own CSV, of the same columns in the same order, thrown away as it comes."""

    async def taken(_part: bytes) -> None:
        return None

    connection: Any = await database.dedicated()
    started = time.perf_counter()
    query = f"SELECT {', '.join(SHOWN)} FROM entries ORDER BY sequence"
    await connection.copy_from_query(query, output=taken, format="csv")
    seconds = time.perf_counter() - started
    await connection.close()
    return seconds


async def _exported(database: Database, folder: Path, export_format: str, compression: str, *, rows: int) -> float:
    """Seconds of a whole job."""
    source = AuditSource()
    worker = ExportWorker(
        database, {source.name: source}, folder=folder, policy=GENEROUS,
        signer=ManifestSigner(Ed25519PrivateKey.generate()), speaks_as=SPEAKS_AS,
    )  # fmt: skip
    async with database.transaction() as session:
        job = await store.append(
            session, export_id=new_uuid(), source=source.name, export_format=export_format, compression=compression,
            options={}, filters={}, owner_id=f"bench {datetime.now(UTC)}", owner_name=None, correlation_id=None,
        )  # fmt: skip
    started = time.perf_counter()
    await worker.turn()
    seconds = time.perf_counter() - started
    async with database.reading() as session:
        done = await store.find(session, job.id, source=source.name, owner_id=job.owner_id)
    assert done is not None
    assert (done.state, done.rows) == ("succeeded", rows), done
    assert done.file is not None
    (folder / done.file).unlink()
    return seconds
