"""The signer: signs what continues its last head, remembers before it publishes, and refuses everything else for good."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.errors import ConfigError
from services.audit.log.checkpoints import Checkpoint, open_checkpoint, signed_checkpoint
from services.audit.log.notes import SigningKey
from services.audit.log.tree import EMPTY_ROOT
from services.audit.signer import LAST_HEAD, REFUSED, HeadRefused, Signer
from tests.integration.audit.archive import Archive, Built, request_recorded
from tests.integration.audit.test_sequencer import stored
from tests.support.eventually import eventually
from tests.unit.audit.log.trees import Grown

KEY = SigningKey("reeve.test/audit", Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))


@pytest.fixture
def signer(archive: Archive, tmp_path: Path) -> Callable[[], Signer]:
    """Start a signer on this test's file, as often as wanted."""
    return lambda: Signer(archive.database, KEY, tmp_path / "signer")


async def grow(archive: Archive, count: int) -> None:
    await archive.record(*[request_recorded() for _ in range(count)])
    await archive.sequence()


async def notes(archive: Archive) -> list[Checkpoint]:
    rows = await archive.rows("SELECT note FROM log_checkpoints ORDER BY size")
    return [open_checkpoint(row["note"], KEY.verifier) for row in rows]


async def test_each_growth_is_signed_once_and_is_the_root_of_the_leaves(
    archive: Archive, signer: Callable[[], Signer]
) -> None:
    one = signer()
    sizes = [0]
    assert await one.turn()
    for count in (1, 5, 250, 300):
        assert not await one.turn()
        await grow(archive, count)
        assert await one.turn()
        sizes.append(sizes[-1] + count)
    bodies = (await stored(archive)).bodies
    roots = [Grown(bodies[:size]).frontier.root for size in sizes]
    assert await notes(archive) == [Checkpoint(KEY.name, size, root) for size, root in zip(sizes, roots, strict=True)]


async def test_a_new_life_goes_on_where_the_file_says(
    archive: Archive, signer: Callable[[], Signer], tmp_path: Path
) -> None:
    await grow(archive, 5)
    assert await signer().turn()
    assert not await signer().turn()
    await grow(archive, 5)
    assert await signer().turn()
    file = tmp_path / "signer" / LAST_HEAD
    assert open_checkpoint(file.read_text(), KEY.verifier).size == 10


async def test_a_note_that_was_remembered_and_never_published_is_published_the_same(
    archive: Archive, signer: Callable[[], Signer], owner: asyncpg.Connection
) -> None:
    await grow(archive, 5)
    await signer().turn()
    [before] = await archive.rows("SELECT size, root, note FROM log_checkpoints")
    await owner.execute("ALTER TABLE log_checkpoints DISABLE TRIGGER append_only")
    await owner.execute("DELETE FROM log_checkpoints")
    assert await signer().turn()
    assert await archive.rows("SELECT size, root, note FROM log_checkpoints") == [before]


async def test_what_cannot_be_remembered_is_not_published(
    archive: Archive, signer: Callable[[], Signer], tmp_path: Path
) -> None:
    await grow(archive, 5)
    one = signer()
    (tmp_path / "signer").write_text("a file where the folder should be")
    for _ in range(2):
        with pytest.raises(OSError, match="signer"):
            await one.turn()
    assert await notes(archive) == []
    (tmp_path / "signer").unlink()
    assert await one.turn()
    assert [found.size for found in await notes(archive)] == [5]


async def _rewrite(owner: asyncpg.Connection, *, keep: int) -> None:
    """What a superuser may do: shorten the log and its tree to its first leaves."""
    async with owner.transaction():
        for table in ("log_leaves", "log_nodes", "log_checkpoints", "log_head", "log_state", "entries"):
            await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await owner.execute("DELETE FROM log_leaves WHERE sequence >= $1", keep)
        await owner.execute("DELETE FROM log_openings WHERE sequence >= $1", keep)
        await owner.execute("DELETE FROM entries WHERE sequence >= $1", keep)
        await owner.execute("DELETE FROM log_nodes")
        await owner.execute("DELETE FROM log_checkpoints")
        await owner.execute("UPDATE log_state SET size = $1", keep)
        await owner.execute("UPDATE log_head SET size = 0, root = sha256(''), frontier = ''")


async def test_a_log_that_is_smaller_than_what_was_signed_is_refused(
    archive: Archive, signer: Callable[[], Signer], owner: asyncpg.Connection
) -> None:
    await grow(archive, 10)
    one = signer()
    await one.turn()
    await _rewrite(owner, keep=9)
    await archive.sequence()
    for refusing in (one, signer()):
        with pytest.raises(HeadRefused, match="9 leaves; 10 were signed"):
            await refusing.turn()
    assert await notes(archive) == []


@pytest.mark.parametrize("more", [0, 1, 300])
async def test_another_log_of_the_same_size_or_longer_is_refused(
    archive: Archive, signer: Callable[[], Signer], owner: asyncpg.Connection, more: int
) -> None:
    """Two heads of one size never get one signature, and a longer log must continue what was signed."""
    await grow(archive, 10)
    one = signer()
    await one.turn()
    await _rewrite(owner, keep=9)
    await grow(archive, 1 + more)
    for refusing in (one, signer()):
        with pytest.raises(HeadRefused, match=r"another root|does not continue"):
            await refusing.turn()
    assert await notes(archive) == []


async def test_a_root_that_no_leaves_have_is_refused(
    archive: Archive, signer: Callable[[], Signer], owner: asyncpg.Connection
) -> None:
    await grow(archive, 10)
    one = signer()
    await one.turn()
    await grow(archive, 3)
    await owner.execute("ALTER TABLE log_head DISABLE TRIGGER USER")
    await owner.execute("UPDATE log_head SET root = sha256('mine')")
    with pytest.raises(HeadRefused, match="does not continue"):
        await one.turn()
    assert [one.size for one in await notes(archive)] == [10]


async def test_a_log_that_lost_the_hashes_of_its_proof_is_refused(
    archive: Archive, signer: Callable[[], Signer], owner: asyncpg.Connection
) -> None:
    await grow(archive, 300)
    one = signer()
    await one.turn()
    await grow(archive, 300)
    await owner.execute("ALTER TABLE log_nodes DISABLE TRIGGER USER")
    await owner.execute("DELETE FROM log_nodes")
    with pytest.raises(HeadRefused, match="cannot prove"):
        await one.turn()


async def test_a_lost_file_is_made_good_by_what_was_published(
    archive: Archive, signer: Callable[[], Signer], tmp_path: Path
) -> None:
    await grow(archive, 10)
    await signer().turn()
    (tmp_path / "signer" / LAST_HEAD).unlink()
    await grow(archive, 3)
    assert await signer().turn()
    assert [one.size for one in await notes(archive)] == [10, 13]


async def test_an_old_file_put_back_does_not_hide_what_was_published_since(
    archive: Archive, signer: Callable[[], Signer], owner: asyncpg.Connection, tmp_path: Path
) -> None:
    await grow(archive, 4)
    await signer().turn()
    old = (tmp_path / "signer" / LAST_HEAD).read_text()
    await grow(archive, 6)
    await signer().turn()
    newest = await owner.fetchrow("SELECT size, root, note FROM log_checkpoints WHERE size = 10")
    await _rewrite(owner, keep=9)
    await grow(archive, 5)
    await owner.execute("INSERT INTO log_checkpoints (size, root, note) VALUES ($1, $2, $3)", *newest)
    (tmp_path / "signer" / LAST_HEAD).write_text(old)
    with pytest.raises(HeadRefused, match="does not continue"):
        await signer().turn()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense",
        signed_checkpoint(SigningKey(KEY.name, Ed25519PrivateKey.generate()), size=1, root=EMPTY_ROOT),
        signed_checkpoint(SigningKey("other/log", KEY.private), size=1, root=EMPTY_ROOT),
    ],
)
async def test_a_file_that_is_not_its_own_stops_the_start(
    signer: Callable[[], Signer], tmp_path: Path, content: str
) -> None:
    (tmp_path / "signer").mkdir()
    (tmp_path / "signer" / LAST_HEAD).write_text(content)
    with pytest.raises(ConfigError, match="last head"):
        signer()


async def test_after_a_refusal_the_task_lives_says_so_and_signs_nothing(
    built: Built, archive: Archive, signer: Callable[[], Signer], owner: asyncpg.Connection
) -> None:
    await grow(archive, 10)
    await signer().turn()
    await _rewrite(owner, keep=3)
    await archive.sequence()
    task = asyncio.ensure_future(signer().run())
    try:
        await eventually(lambda: archive.value("SELECT count(*) = 1 FROM outbox"))
        await grow(archive, 30)
        await asyncio.sleep(1.2)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert REFUSED._value.get() == 1
    assert await notes(archive) == []
    [alarm] = await archive.rows(
        "SELECT type, convert_from(body, 'UTF8')::json #>> '{data,error_message}' AS says FROM outbox"
    )
    assert alarm == {"type": "platform.error.critical.v1", "says": "the log has 3 leaves; 10 were signed"}
