"""A redaction whose process is killed, at each of its crash points, is finished by another: all of it, and once."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.integration.audit.archive import ADMIN, Archive, Built, request_recorded
from tests.integration.audit.redacting import Redacting
from tests.integration.audit.test_verifier import dumped, key_of, signed
from tests.support.audit_verdicts import first_of_each, verdict_on
from tests.support.stem import Stem

ROOT = Path(__file__).parents[3]
ENTRIES = 1200


async def run_process(stem: Stem, built: Built, redacting: Redacting, *, crash_at: str = "") -> int:
    """Run a process to its end, and deliver what it announces meanwhile; its exit code."""
    module, url = "tests.integration.audit.redaction_process", built.platform.urls["audit"]
    ended = asyncio.ensure_future(stem.run(module, url, crash_at=crash_at))
    while not ended.done():
        await redacting.deliver()
        await asyncio.wait([ended], timeout=0.02)
    await redacting.deliver()
    return ended.result()


@pytest.mark.parametrize(
    ("crash_at", "erased"),
    [
        ("redact.before_announcement:1", 0),
        ("redact.before_commit:1", 0),
        ("redact.before_announcement:2", 500),
        ("redact.before_commit:3", 1000),
        ("redact.before_end", ENTRIES),
    ],
)
async def test_a_killed_redaction_is_finished_by_another_process(
    stem: Stem, built: Built, archive: Archive, tmp_path: Path, *, crash_at: str, erased: int
) -> None:
    redacting = Redacting(archive)
    await archive.record(*[request_recorded(producerseq=n + 1) for n in range(ENTRIES)])
    asked = await redacting.start()

    assert await run_process(stem, built, redacting, crash_at=crash_at) == -signal.SIGKILL

    gone = "SELECT count(*) FROM entries WHERE redactions IS NOT NULL"
    assert await archive.value(gone) == erased
    assert await archive.value("SELECT count(*) FROM log_openings WHERE seed IS NULL") == erased
    await signed(archive, built)
    assert first_of_each(verdict_on(await dumped(built, tmp_path), await key_of(archive))) == {}

    assert await run_process(stem, built, redacting) == 0

    body = await archive.body(f"/redactions/{asked.data['redaction_id']}")
    assert (body["state"], body["entries"]) == ("succeeded", ENTRIES)
    assert await archive.value(f"{gone} AND jsonb_array_length(redactions) = 1") == ENTRIES
    told = "SELECT count(*) FROM entries WHERE event_type = 'reeve.redaction.finished.v1'"
    assert await archive.value(told) == 1
    assert await archive.value("SELECT count(*) FROM entries WHERE admin_username IS NOT NULL") == await archive.value(
        "SELECT count(*) FROM entries WHERE admin_username IS NOT NULL AND admin_user_id <> $1", ADMIN
    )
    await signed(archive, built)
    assert first_of_each(verdict_on(await dumped(built, tmp_path), await key_of(archive))) == {}
