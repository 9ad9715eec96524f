"""kill -9 of sequencer and signer at every step, under load: the log never forks, and no size has two heads."""

import random
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from libs.common.keys import load_or_create_ed25519
from services.audit.app import LOG_KEY
from services.audit.log.checkpoints import Checkpoint, open_checkpoint
from services.audit.log.notes import SigningKey
from services.audit.signer import LAST_HEAD
from tests.faults.driver import driving, verdict_on
from tests.support.eventually import eventually
from tests.support.processes import Platform, Program, free_port
from tests.unit.audit.log.trees import Grown

KILLED = -9
REACHED_SECONDS = 60.0
ORIGIN = "reeve.local/audit"
SEQUENCER = ("seq.before_commit",)
SIGNER = ("sign.before_fsync", "sign.after_fsync", "sign.after_publish")


class Witness:
    """Collects every head that anybody could have seen: stored ones, published ones, and what the signer remembers."""

    def __init__(self, database: asyncpg.Connection, key: SigningKey, file: Path) -> None:
        self._database = database
        self._key = key
        self._file = file
        self.roots: dict[int, set[bytes]] = {}

    async def look(self) -> None:
        """See what is there now."""
        head = await self._database.fetchrow("SELECT size, root FROM audit.log_head")
        rows = await self._database.fetch("SELECT note FROM audit.log_checkpoints")
        notes = [row["note"] for row in rows] + ([self._file.read_text()] if self._file.exists() else [])
        seen = [open_checkpoint(note, self._key.verifier) for note in notes]
        for one in [*seen, Checkpoint(ORIGIN, head["size"], head["root"])]:
            self.roots.setdefault(one.size, set()).add(one.root)

    async def forks(self) -> dict[int, set[bytes]]:
        """Sizes whose head was ever another than the one that the stored leaves have."""
        rows = await self._database.fetch("SELECT body FROM audit.log_leaves ORDER BY sequence")
        bodies = [row["body"] for row in rows]
        return {size: roots for size, roots in self.roots.items() if roots != {Grown(bodies[:size]).frontier.root}}


def signer_of(platform: Platform, folder: Path) -> Program:
    """The signer as a process of its own."""
    audit, port = platform.programs["audit"], free_port()
    own = {
        "REEVE_PORT": str(port), "REEVE_METRICS_PORT": str(free_port()), "REEVE_AUDIT_SIGNER_DIR": str(folder / "signer"),
    }  # fmt: skip
    return replace(
        audit, name="audit-signer", arguments=["signer"], port=port, log=folder / "signer.log", _life=None,
        environment={**audit.environment, **own},
    )  # fmt: skip


@pytest.mark.timeout(1800)
async def test_no_size_has_two_heads_wherever_sequencer_and_signer_are_killed(
    platform: Platform, ledger_path: Path, repeats: int, tmp_path: Path
) -> None:
    """Each life ends at its point, or the test fails; afterwards everything that was ever a head is one history."""
    rng = random.Random(12)
    audit, signer = platform.programs["audit"], signer_of(platform, tmp_path)
    key = SigningKey(ORIGIN, load_or_create_ed25519(platform.folder / "keys" / LOG_KEY))
    database = await asyncpg.connect(platform.admin_database)
    witness = Witness(database, key, tmp_path / "signer" / LAST_HEAD)
    try:
        async with driving(platform, ledger_path) as driver:
            await driver.progress()
            for _ in range(repeats):
                for point in (*SEQUENCER, *SIGNER):
                    program = audit if point in SEQUENCER else signer
                    await program.kill()
                    driver.ledger.fault(point)
                    await program.launch(REEVE_CRASH_AT=f"{point}:{rng.randint(1, 4)}")
                    code = await program.until_dead(within_seconds=REACHED_SECONDS)
                    assert code == KILLED, f"{point} was not reached: {program.last_words()}"
                    await witness.look()
                    if program is audit:
                        await program.start()
            await signer.start()
            await driver.progress()
        verdict = await verdict_on(driver)
        assert verdict.is_clean, str(verdict)

        async def is_signed() -> bool:
            await witness.look()
            return bool(
                await database.fetchval(
                    "SELECT count(*) > 0 FROM audit.log_checkpoints AS c, audit.log_state AS s WHERE c.size = s.size"
                )
            )

        await eventually(is_signed)
        assert await witness.forks() == {}
        assert len(witness.roots) > 3 * repeats
        assert sum(verdict.faults.values()) == repeats * (len(SEQUENCER) + len(SIGNER))
    finally:
        await signer.kill()
        await database.close()
