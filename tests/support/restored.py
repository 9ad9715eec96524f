"""Brings a test's database back to what its template holds: cheaper than a new one, where only rows were changed.

Postgres writes 8 MB and some 300 files for a new database, and to drop one it writes out what all others have not yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import asyncpg

MOST_BYTES = 16 * 2**20
"""What tables and indexes may take before a new database is the better one: deleted rows stay in them for a while."""

_OURS = "relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')"
_RELATIONS = f"SELECT oid FROM pg_class WHERE {_OURS}"
_STRUCTURE = f"""
SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
    SELECT concat_ws(' ', oid, relname, relnamespace, relowner, relkind, relacl, reloptions, relrowsecurity) AS line
        FROM pg_class WHERE {_OURS}
    UNION ALL SELECT a::text FROM pg_attribute a WHERE attrelid IN ({_RELATIONS})
    UNION ALL SELECT d::text FROM pg_attrdef d WHERE adrelid IN ({_RELATIONS})
    UNION ALL SELECT i::text FROM pg_index i WHERE indrelid IN ({_RELATIONS})
    UNION ALL SELECT t::text FROM pg_trigger t WHERE tgrelid IN ({_RELATIONS})
    UNION ALL SELECT r::text FROM pg_rewrite r WHERE ev_class IN ({_RELATIONS})
    UNION ALL SELECT c::text FROM pg_constraint c WHERE conrelid IN ({_RELATIONS})
    UNION ALL SELECT p::text FROM pg_proc p WHERE oid >= 16384
    UNION ALL SELECT t::text FROM pg_type t WHERE oid >= 16384
    UNION ALL SELECT n::text FROM pg_namespace n WHERE nspname !~ '^pg_(temp|toast_temp)_'
    UNION ALL SELECT e::text FROM pg_extension e
    UNION ALL SELECT a::text FROM pg_default_acl a
    UNION ALL SELECT concat_ws(' ', datdba, datconnlimit, datacl) FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT concat_ws(' ', setrole, setconfig) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS lines
"""
_TABLES = f"SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND {_OURS} ORDER BY oid"
_SEQUENCES = f"SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'S' AND {_OURS} ORDER BY oid"
_SIZE = f"SELECT coalesce(sum(pg_relation_size(oid)), 0) FROM pg_class WHERE {_OURS}"
_LEAVE = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Original:
    """What a template holds, and how to have it again: `rows` is by table, as text that can be inserted."""

    structure: str
    rows: Mapping[str, str]
    sequences: Mapping[str, tuple[int, bool]]

    @classmethod
    async def read(cls, url: str) -> Self | None:
        """Of the database at `url`; None where its administrator may not put triggers and keys aside."""
        connection = await asyncpg.connect(url, timeout=60)
        try:
            if not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
                return None
            return cls(await connection.fetchval(_STRUCTURE), await _rows(connection), await _sequences(connection))
        finally:
            await connection.close()

    async def restore(self, url: str) -> bool:
        """Have exactly this again, whoever is still connected; False, and nothing done, where more than rows changed."""
        connection = await asyncpg.connect(url, timeout=60)
        try:
            await connection.execute(_LEAVE)
            if await connection.fetchval(_SIZE) > MOST_BYTES or await connection.fetchval(_STRUCTURE) != self.structure:
                return False
            await connection.execute(self._script())
            return True
        finally:
            await connection.close()

    def _script(self) -> str:
        """One transaction, as it is sent as one; neither triggers nor keys stand in its way."""
        inserted = [
            f"INSERT INTO {table} OVERRIDING SYSTEM VALUE"
            f" SELECT * FROM jsonb_populate_recordset(NULL::{table}, '{_quoted(rows)}')"
            for table, rows in self.rows.items()
            if rows != "[]"
        ]
        return "; ".join([
            "SET session_replication_role = replica",
            *(f"DELETE FROM {table}" for table in self.rows),
            *inserted,
            *(f"SELECT setval('{name}', {value}, {called})" for name, (value, called) in self.sequences.items()),
        ])  # fmt: skip


async def _rows(connection: asyncpg.Connection) -> dict[str, str]:
    tables = [row["name"] for row in await connection.fetch(_TABLES)]
    every = "SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')::text FROM {} t"
    return {table: await connection.fetchval(every.format(table)) for table in tables}


async def _sequences(connection: asyncpg.Connection) -> dict[str, tuple[int, bool]]:
    names = [row["name"] for row in await connection.fetch(_SEQUENCES)]
    states = [await connection.fetchrow(f"SELECT last_value, is_called FROM {name}") for name in names]
    return {name: (state["last_value"], state["is_called"]) for name, state in zip(names, states, strict=True)}


def _quoted(text: str) -> str:
    return text.replace("'", "''")
