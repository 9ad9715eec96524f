"""The engine on a real Postgres."""

from libs.common.database.engine import Database


async def test_ping(database: Database) -> None:
    await database.ping()
