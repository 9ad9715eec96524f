"""Accounts that an older release erased: what it left of them goes when the gateway starts."""

import asyncio
from pathlib import Path

import asyncpg

from libs.common.ids import new_id
from tests.contract.conftest import SERVICES
from tests.support.house import ADMIN, open_house
from tests.support.postgres import PlatformDatabases

LINK = "INSERT INTO gateway.external_identities (issuer, subject, user_id) VALUES ('https://issuer', $1, $2)"


async def test_a_start_gives_their_identities_pseudonyms(platform_databases: PlatformDatabases, tmp_path: Path) -> None:
    database = await platform_databases.make(*SERVICES)
    first = await asyncio.to_thread(open_house, database, tmp_path / "data")

    def make() -> list[str]:
        made = []
        with first.client() as http:
            for _ in range(2):
                body = {
                    "email": f"{new_id()}@example.com",
                    "name": "V",
                    "role": "viewer",
                    "password": "a password of V",
                }
                made.append(http.post(f"{ADMIN}/users", json=body).raise_for_status().json()["id"])
        return made

    erased, other = await asyncio.to_thread(make)
    await asyncio.to_thread(first.stop)
    connection = await asyncpg.connect(database.admin_url)
    await connection.execute(LINK, "1001", erased)
    await connection.execute(LINK, "1002", other)
    await connection.execute("UPDATE gateway.users SET erased_at = now(), is_active = false WHERE id = $1", erased)
    second = await asyncio.to_thread(open_house, database, tmp_path / "data")
    await asyncio.to_thread(second.stop)
    found = {
        str(row["user_id"]): row["subject"]
        for row in await connection.fetch("SELECT * FROM gateway.external_identities")
    }
    await connection.close()
    assert found[other] == "1002"
    assert found[erased].startswith("erased:")
    await platform_databases.give_back(database)
