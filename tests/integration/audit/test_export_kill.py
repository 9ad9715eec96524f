"""An export whose process is killed, at each of its crash points, is finished by another."""

import asyncio
import gzip
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from libs.common.database.engine import driver
from tests.integration.audit.archive import Archive, Built, platform_event
from tests.integration.audit.exporting import Exporter

ROOT = Path(__file__).parents[3]
LOG = 3000


async def run_process(built: Built, *, crash_at: str = "") -> int:
    """Run a worker's process to its end; its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.audit.export_process", built.platform.urls["audit"],
        str(built.config.exports), str(built.config.keys / "audit.exports.key"),
        cwd=ROOT, env={**os.environ, "REEVE_CRASH_AT": crash_at},
    )  # fmt: skip
    async with asyncio.timeout(60):
        return await process.wait()


@pytest.mark.parametrize(
    ("crash_at", "rows"),
    [("export.after_checkpoint:1", 500), ("export.after_checkpoint:4", 2000), ("export.before_success", LOG)],
)
async def test_a_killed_export_is_finished_by_another_process(
    built: Built, exporter: Exporter, archive: Archive, crash_at: str, rows: int
) -> None:
    for _ in range(LOG // 1000):
        await archive.record(*[platform_event() for _ in range(1000)])
    asked = await exporter.start(compression="gzip")

    assert await run_process(built, crash_at=crash_at) == -signal.SIGKILL

    left = await exporter.view(asked["id"])
    assert (left["state"], left["rows"]) == ("running", rows)
    await archive.record(*[platform_event() for _ in range(100)])
    async with built.database.transaction() as session:
        await driver(session).execute("UPDATE exports SET lease_until = now() - interval '1 second'")

    assert await run_process(built) == 0

    content = (await exporter.get(f"/{asked['id']}/download")).content
    found = [json.loads(line)["sequence"] for line in gzip.decompress(content).splitlines()]
    assert found == list(range(LOG))
    assert (await exporter.view(asked["id"]))["state"] == "succeeded"
