"""The gateway's exports where they could go wrong: a process that is killed, a number that comes late, cancelling."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from libs.common.database import exports as jobs
from libs.common.database.engine import Database, driver
from libs.common.database.migrate import downgrade, migrate
from libs.common.errors import Conflict, NotFound
from libs.common.events.exports import EndExport, StartExport
from libs.common.exports.commands import ExportCommands
from libs.common.exports.jobs import MOST_ACTIVE_OF_ONE
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.ids import new_id
from services.gateway.app import SPEAKS_AS
from services.gateway.exports import own_sources
from services.gateway.features.exports.commands import OwnExports
from services.gateway.features.exports.models import find_source, new_export_id
from services.gateway.features.users import store as users
from tests.integration.gateway.export_process import WINDOW
from tests.support.eventually import eventually
from tests.support.postgres import PlatformDatabase
from tests.support.stem import Stem

ROOT = Path(__file__).parents[3]
ACCOUNTS = 23
MakePlatform = Callable[..., Awaitable[PlatformDatabase]]


@pytest.fixture
async def platform(platform_db: MakePlatform) -> PlatformDatabase:
    """A fresh gateway schema."""
    return await platform_db("gateway")


@pytest.fixture
async def database(platform: PlatformDatabase) -> Any:
    """Connections of the gateway's role."""
    opened = Database(platform.urls["gateway"], schema="gateway", application="test")
    yield opened
    await opened.close()


async def add_accounts(database: Database, count: int) -> list[str]:
    ids = [new_id() for _ in range(count)]
    async with database.transaction() as session:
        for one in ids:
            await driver(session).execute(
                "INSERT INTO users (id, email, name, role) VALUES ($1, $2, 'Somebody', 'viewer')",
                one,
                f"{one}@example.com",
            )
    return ids


def a_caller() -> Caller:
    actor = Actor(
        type=ActorType.ADMIN,
        id=new_id(),
        username="ada@example.com",
        role="admin",
        level=Level.ADMIN,
        permissions=frozenset(),
    )
    return Caller(actor=actor, origin=Origin(username="ada@example.com"), correlation_id="c")


def own(database: Database) -> OwnExports:
    return OwnExports(database, ExportCommands(own_sources(), speaks_as=SPEAKS_AS))


async def start(database: Database, caller: Caller) -> dict[str, Any]:
    source = find_source("users")
    assert source is not None
    return await own(database).start(
        caller, StartExport(export_id=str(new_export_id(source)), source="users", format="jsonl", origin=caller.origin)
    )


async def job_of(database: Database, export_id: str, caller: Caller) -> jobs.ExportJob:
    async with database.reading() as session:
        found = await jobs.find(session, UUID(export_id), source="users", owner_id=caller.actor.id)
    assert found is not None
    return found


async def run_process(stem: Stem, platform: PlatformDatabase, folder: Path, *, crash_at: str = "") -> int:
    module = "tests.integration.gateway.export_process"
    return await stem.run(module, platform.urls["gateway"], folder, folder / "exports.key", crash_at=crash_at)


@pytest.mark.parametrize(
    ("crash_at", "rows"),
    [("export.after_checkpoint:1", WINDOW - 1), ("export.after_checkpoint:4", 4 * WINDOW - 1), ("export.before_success", ACCOUNTS)],
)  # fmt: skip
async def test_a_killed_export_is_finished_by_another_process(
    stem: Stem, platform: PlatformDatabase, database: Database, tmp_path: Path, *, crash_at: str, rows: int
) -> None:
    ids, caller = await add_accounts(database, ACCOUNTS), a_caller()
    asked = await start(database, caller)

    assert await run_process(stem, platform, tmp_path, crash_at=crash_at) == -signal.SIGKILL

    left = await job_of(database, asked["id"], caller)
    assert (left.state, left.rows if "before" not in crash_at else ACCOUNTS) == ("running", rows)
    await add_accounts(database, 4)
    async with database.transaction() as session:
        await driver(session).execute("UPDATE exports SET lease_until = now() - interval '1 second'")

    assert await run_process(stem, platform, tmp_path) == 0

    done = await job_of(database, asked["id"], caller)
    assert (done.state, done.rows, done.attempts) == ("succeeded", ACCOUNTS, 2)
    assert done.file is not None
    assert [json.loads(line)["id"] for line in (tmp_path / done.file).read_bytes().splitlines()] == ids


async def test_the_end_waits_for_whoever_has_a_number_and_has_not_committed(database: Database) -> None:
    await add_accounts(database, 3)
    early, late, looking = [await database.dedicated() for _ in range(3)]
    writing = early.transaction()
    await writing.start()
    await early.execute("INSERT INTO users (id, email, name, role) VALUES ($1, 'early', 'n', 'viewer')", new_id())
    await late.execute("INSERT INTO users (id, email, name, role) VALUES ($1, 'late', 'n', 'viewer')", new_id())
    async with asyncio.TaskGroup() as group:
        looked = group.create_task(users.end_of_numbers(looking))

        async def is_waiting() -> bool:
            found = await late.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareLock'")
            return bool(found)

        await eventually(is_waiting)
        assert not looked.done()
        await writing.commit()
    assert looked.result() == 6
    for connection in (early, late, looking):
        await connection.close()


async def test_what_is_ended_while_it_waits_is_never_run(
    stem: Stem, platform: PlatformDatabase, database: Database, tmp_path: Path
) -> None:
    caller = a_caller()
    asked = await start(database, caller)
    with pytest.raises(NotFound):
        await own(database).end(a_caller(), EndExport(export_id=asked["id"], source="users"))
    await own(database).end(caller, EndExport(export_id=asked["id"], source="users"))
    assert await run_process(stem, platform, tmp_path) == 0
    assert (await job_of(database, asked["id"], caller)).state == "cancelled"


async def test_one_job_too_many_is_refused_and_leaves_no_event(database: Database) -> None:
    caller = a_caller()
    for _ in range(MOST_ACTIVE_OF_ONE):
        await start(database, caller)
    with pytest.raises(Conflict) as refused:
        await start(database, caller)
    assert refused.value.code == "too_many_exports"
    async with database.reading() as session:
        assert await driver(session).fetchval("SELECT count(*) FROM outbox") == MOST_ACTIVE_OF_ONE
    await start(database, a_caller())


async def test_what_was_there_before_is_numbered_by_age(platform: PlatformDatabase, database: Database) -> None:
    owner, prefix = platform.urls["migrator"], platform.role_prefix
    await downgrade(owner, service="gateway", role_prefix=prefix, revision="0009")
    ids = await add_accounts(database, 5)
    async with database.transaction() as session:
        # So that they do not lie in the order of their age.
        await driver(session).execute("UPDATE users SET name = 'Older' WHERE id = $1", ids[0])
    await migrate(owner, service="gateway", role_prefix=prefix)
    ids += await add_accounts(database, 2)
    async with database.reading() as session:
        rows = await driver(session).fetch("SELECT id::text, number FROM users ORDER BY number")
    assert [(row["id"], row["number"]) for row in rows] == list(zip(ids, range(1, 8), strict=True))
