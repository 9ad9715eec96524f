"""Which role may do what where: each service its own schema, and of its tables no more than it uses."""

import json
import re
from pathlib import Path

import asyncpg
import pytest

from tests.support.house import House

GOLDEN = Path(__file__).parent / "privileges.json"
SERVICES = ("gateway", "audit", "settings", "notifications")
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
MATRIX = """
    SELECT n.nspname AS schema, regexp_replace(c.relname, '_(p?\\d{4}_?\\d{2})$', '_MONTH') AS table, v.verb
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, unnest($2::text[]) AS v(verb)
    WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY($3::text[])
      AND has_schema_privilege($1, n.oid, 'USAGE') AND has_table_privilege($1, c.oid, v.verb)
"""


async def _matrix(house: House) -> dict[str, dict[str, str]]:
    connection = await asyncpg.connect(house.database.admin_url)
    try:
        found: dict[str, dict[str, str]] = {}
        for service in SERVICES:
            role = f"{house.database.role_prefix}_{service}"
            held: dict[str, set[str]] = {}
            for row in await connection.fetch(MATRIX, role, list(VERBS), list(SERVICES)):
                held.setdefault(f"{row['schema']}.{row['table']}", set()).add(row["verb"])
            found[service] = {
                table: " ".join(verb for verb in VERBS if verb in verbs) for table, verbs in sorted(held.items())
            }
        return found
    finally:
        await connection.close()


async def test_the_matrix_is_the_one_that_was_agreed(house: House) -> None:
    assert await _matrix(house) == json.loads(GOLDEN.read_text())


async def test_nobody_reaches_anothers_schema(house: House) -> None:
    for service, tables in (await _matrix(house)).items():
        assert all(table.startswith(f"{service}.") for table in tables), service


async def test_entries_can_be_added_and_read_and_nothing_else(house: House) -> None:
    held = (await _matrix(house))["audit"]
    assert {verbs for table, verbs in held.items() if re.match(r"audit\.entries", table)} <= {"SELECT INSERT", "INSERT"}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_cannot_read_across_even_when_it_asks(house: House, service: str) -> None:
    connection = await asyncpg.connect(house.database.urls[service])
    try:
        for other in SERVICES:
            if other != service:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(f"SELECT * FROM {other}.outbox")
        for statement in ("CREATE SCHEMA mine", "CREATE TABLE public.mine (a int)", "CREATE TABLE mine (a int)"):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(statement)
    finally:
        await connection.close()
