"""An export of lines reads with several connections, which make them in turn and end together."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from libs.common.database.engine import Connection, Database, Session
from libs.common.database.exports import ExportJob
from libs.common.exports.source import Write
from services.audit.exports import LEAST_SHARED, AuditSource
from tests.integration.audit.archive import Archive, Built, platform_event, request_recorded
from tests.integration.audit.exporting import Exporter

LOG = LEAST_SHARED + 500


class Lending(Database):
    """The service's pool, and connections outside it that a test sees, up to `most`."""

    def __init__(self, built: Built, *, most: int) -> None:
        super().__init__(built.platform.urls["audit"], schema="audit", application="lending")
        self.lent: list[Connection] = []
        self._most = most
        self._pool = built.database

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        return self._pool.transaction()

    def reading(self) -> AbstractAsyncContextManager[Session]:
        return self._pool.reading()

    async def dedicated(self) -> Connection:
        if len(self.lent) == self._most:
            raise ConnectionRefusedError
        self.lent.append(await super().dedicated())
        return self.lent[-1]


@pytest.fixture
async def log(archive: Archive) -> Archive:
    """Enough entries for a window that is shared."""
    await archive.record(*[platform_event() for _ in range(LOG)])
    return archive


def sequences(lines: bytes) -> list[int]:
    return [json.loads(line)["sequence"] for line in lines.splitlines()]


async def ends_as_ever(exporter: Exporter, asked: dict[str, object]) -> bool:
    """Whether the job waits for the next worker, which has all of it."""
    was = (await exporter.view(str(asked["id"])))["state"]
    assert await exporter.worker().turn()
    job = await exporter.view(str(asked["id"]))
    return (was, job["state"], job["rows"]) == ("running", "succeeded", LOG)


@pytest.mark.parametrize("connections", [1, 2, 3])
async def test_lines_stay_in_order(exporter: Exporter, log: Archive, connections: int) -> None:
    source, lending = AuditSource(), Lending(exporter.built, most=connections)
    source.connections = connections
    asked = await exporter.start()
    assert await exporter.worker(database=lending, sources={"audit": source}).turn()
    content = (await exporter.get(f"/{asked['id']}/download")).content
    assert sequences(content) == list(range(LOG))
    assert (await exporter.view(asked["id"]))["rows"] == LOG
    assert [one.is_closed() for one in lending.lent] == [True] * connections


async def test_those_that_find_nothing_for_a_while_stay_in_turn(exporter: Exporter, log: Archive) -> None:
    """Single entries, far apart, in a log of others: most blocks are empty."""
    for _ in range(4):
        await log.record(request_recorded(), *[platform_event() for _ in range(600)])
    job, content = await exporter.exported("jsonl", filters={"source": "/reeve/gateway"})
    assert sequences(content) == [LOG + 601 * number for number in range(4)]
    assert job["rows"] == 4


async def test_a_second_one_that_cannot_be_had_leaves_the_job_to_be_tried_again(
    exporter: Exporter, log: Archive
) -> None:
    lending, asked = Lending(exporter.built, most=1), await exporter.start()
    with pytest.raises(ConnectionRefusedError):
        await exporter.worker(database=lending).turn()
    assert [one.is_closed() for one in lending.lent] == [True]
    assert await ends_as_ever(exporter, asked)


@pytest.mark.parametrize("broken", [0, 1])
async def test_a_statement_that_fails_on_one_ends_both(exporter: Exporter, log: Archive, broken: int) -> None:
    """The other one waits for its turn meanwhile, which nobody would give it any more."""

    class Hurried(AuditSource):
        async def write_window(
            self, connections: Sequence[Connection], job: ExportJob, *, start: int, stop: int, write: Write
        ) -> int:
            await connections[broken].execute("SET statement_timeout = 1")
            return await super().write_window(connections, job, start=start, stop=stop, write=write)

    lending, asked = Lending(exporter.built, most=2), await exporter.start()
    async with asyncio.timeout(30):
        with pytest.raises(asyncpg.QueryCanceledError):
            await exporter.worker(database=lending, sources={"audit": Hurried()}).turn()
    assert [one.is_closed() for one in lending.lent] == [True, True]
    assert await ends_as_ever(exporter, asked)


async def test_a_file_that_takes_no_more_ends_both(exporter: Exporter, log: Archive) -> None:
    class Full(AuditSource):
        async def write_window(
            self, connections: Sequence[Connection], job: ExportJob, *, start: int, stop: int, write: Write
        ) -> int:
            async def refuse(_data: bytes) -> None:
                raise OSError(28, "No space left on device")

            return await super().write_window(connections, job, start=start, stop=stop, write=refuse)

    lending, asked = Lending(exporter.built, most=2), await exporter.start()
    async with asyncio.timeout(30):
        with pytest.raises(OSError, match="No space left"):
            await exporter.worker(database=lending, sources={"audit": Full()}).turn()
    assert [one.is_closed() for one in lending.lent] == [True, True]
    assert await ends_as_ever(exporter, asked)
