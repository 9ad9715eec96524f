"""Redactions carried out by a process of its own, so that it can be killed.

It reads the database's URL from its command line and ends when no redaction is left.
"""

import asyncio
from collections.abc import Sequence

from libs.common.database.engine import Database, driver
from services.audit.redactor import Redactor


async def main(url: str) -> None:
    """Turn until all have ended; what is announced is delivered by somebody else meanwhile."""
    database = Database(url, schema="audit", application="redaction")
    redactor = Redactor(database)
    left = True
    while left:
        if not await redactor.turn():
            await asyncio.sleep(0.02)
        async with database.reading() as session:
            left = await driver(session).fetchval("SELECT EXISTS (SELECT FROM redactions WHERE state <> 'succeeded')")
    await database.close()


def cli(arguments: Sequence[str]) -> None:
    """Run with this command line."""
    (url,) = arguments
    asyncio.run(main(url))
