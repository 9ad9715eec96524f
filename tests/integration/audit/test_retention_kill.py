"""Retention whose process is killed, at each of its crash points, is finished by another."""

import signal
from pathlib import Path

import asyncpg
import pytest

from libs.common.events.retention import HoldFilter, PlaceHold
from tests.integration.audit.archive import Archive, Built, platform_event, request_recorded
from tests.integration.audit.keeping import Keeper
from tests.integration.audit.test_verifier import dumped, key_of
from tests.support.audit_verdicts import first_of_each, verdict_on
from tests.support.stem import Stem

ROOT = Path(__file__).parents[3]
PART, OLD = 200, 600


async def run_process(stem: Stem, keeper: Keeper, *, crash_at: str = "", target: str = "") -> int:
    """One turn in a process of its own; its exit code."""
    built = keeper.built
    return await stem.run(
        "tests.integration.audit.retention_process", built.platform.urls["audit"], built.config.archives,
        built.config.keys / "audit.exports.key", built.service.app.state.log_key.text, target, crash_at=crash_at,
    )  # fmt: skip


async def nothing_went_unannounced(keeper: Keeper, folder: Path) -> None:
    """What is gone is in a verified archive that is still there, and the verifier says nothing."""
    there = set(await keeper.left())
    size = await keeper.owner.fetchval("SELECT size FROM log_state")
    archives = await keeper.owner.fetch("SELECT first, ends, file FROM log_archives")
    kept = {place for one in archives for place in range(one["first"], one["ends"])}
    assert set(range(size)) - there <= kept
    for one in archives:
        verdict = verdict_on(keeper.built.config.archives / one["file"], await key_of(keeper.archive))
        assert (set(first_of_each(verdict)) <= {15}, verdict.entries) == (True, one["ends"] - one["first"])
    await keeper.seal()
    verdict = verdict_on(await dumped(keeper.built, folder), await key_of(keeper.archive))
    assert first_of_each(verdict) == {}


@pytest.fixture
async def keeper(built: Built, archive: Archive, owner: asyncpg.Connection) -> Keeper:
    """An empty log."""
    return Keeper(built, archive, owner)


@pytest.mark.parametrize(
    ("crash_at", "turns"),
    [
        ("retention.after_copy:1", 0), ("retention.after_copy:2", 0), ("retention.after_verify:2", 0),
        ("retention.after_archive:1", 0), ("retention.after_announce", 0), ("retention.after_month", 1),
        ("retention.after_batch:1", 1), ("retention.after_batch:3", 1),
    ],
)  # fmt: skip
async def test_wherever_it_is_killed_nothing_goes_without_a_verified_archive(
    stem: Stem, keeper: Keeper, tmp_path: Path, crash_at: str, turns: int
) -> None:
    archive = keeper.archive
    for part in range(OLD // PART):
        await archive.record(
            *[request_recorded(producerseq=part * (PART - 1) + number + 1) for number in range(PART - 1)]
        )
        await archive.record(platform_event())
        await keeper.seal()
    await keeper.age(days=500)
    if crash_at.startswith("retention.after_batch"):
        # A month with something to keep goes row by row.
        await keeper.ask(PlaceHold(name="One", reason="A court", filter=HoldFilter(target_type="order")))
    for _ in range(turns):
        assert await run_process(stem, keeper) == 0
        await keeper.deliver()

    assert await run_process(stem, keeper, crash_at=crash_at) == -signal.SIGKILL

    await nothing_went_unannounced(keeper, tmp_path)
    await keeper.deliver()
    done = await keeper.turns()
    assert done.waiting == 0
    held = [place for place in range(OLD) if place % PART == PART - 1] if "batch" in crash_at else []
    assert [place for place in await keeper.left() if place < OLD] == held
    await nothing_went_unannounced(keeper, tmp_path)
    assert {path.name[:4] for path in keeper.built.config.archives.iterdir()} == {"reev"}
