"""An export whose process is killed, at each of its crash points, is finished by another."""

import gzip
import json
import signal
from pathlib import Path

import pytest

from libs.common.database.engine import driver
from tests.integration.audit.archive import Archive, Built, platform_event
from tests.integration.audit.exporting import Exporter
from tests.support.stem import Stem

ROOT = Path(__file__).parents[3]
LOG = 3000


async def run_process(stem: Stem, built: Built, *, crash_at: str = "") -> int:
    """Run a worker's process to its end; its exit code."""
    return await stem.run(
        "tests.integration.audit.export_process", built.platform.urls["audit"], built.config.exports,
        built.config.keys / "audit.exports.key", crash_at=crash_at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("crash_at", "rows"),
    [("export.after_checkpoint:1", 500), ("export.after_checkpoint:4", 2000), ("export.before_success", LOG)],
)
async def test_a_killed_export_is_finished_by_another_process(
    stem: Stem, built: Built, exporter: Exporter, archive: Archive, *, crash_at: str, rows: int
) -> None:
    for _ in range(LOG // 1000):
        await archive.record(*[platform_event() for _ in range(1000)])
    asked = await exporter.start(compression="gzip")

    assert await run_process(stem, built, crash_at=crash_at) == -signal.SIGKILL

    left = await exporter.view(asked["id"])
    assert (left["state"], left["rows"]) == ("running", rows)
    await archive.record(*[platform_event() for _ in range(100)])
    async with built.database.transaction() as session:
        await driver(session).execute("UPDATE exports SET lease_until = now() - interval '1 second'")

    assert await run_process(stem, built) == 0

    content = (await exporter.get(f"/{asked['id']}/download")).content
    found = [json.loads(line)["sequence"] for line in gzip.decompress(content).splitlines()]
    assert found == list(range(LOG))
    assert (await exporter.view(asked["id"]))["state"] == "succeeded"
