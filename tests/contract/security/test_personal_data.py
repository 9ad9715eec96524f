"""The table of personal data in ARCHITECTURE.md, held against the schemas: no table is forgotten, no column is made up."""

import re
from pathlib import Path

import asyncpg

from tests.support.house import House

DOCUMENT = Path(__file__).parents[3] / "ARCHITECTURE.md"
SCHEMAS = ("gateway", "audit", "settings", "notifications")
OF_NOBODY = {
    "signing_keys", "revoked_tokens", "spent_tokens", "security_clock", "security_rules", "event_types", "event_types_clock",
    "event_schemas", "turn", "inbox", "inbox_seen", "inbox_foreign", "outbox_counter", "senders", "alembic_version",
}  # fmt: skip
"""Named in the document's sentence about them."""
OF_THE_LOG = {
    "log_state", "facets", "tallies", "log_nodes", "log_head", "log_checkpoints", "log_cosignatures", "log_heartbeat", "log_archives",
    "log_prunes", "log_anchors", "log_timestamps", "log_overdue", "gaps", "retention_types",
}  # fmt: skip
"""How the audit log works: sizes, hashes, signatures, counts and days."""
_NAMED = re.compile(r"`((?:gateway|audit|settings|notifications)\.[a-z_]+\.[a-z_]+)`")


async def columns(house: House) -> set[str]:
    connection = await asyncpg.connect(house.database.admin_url)
    try:
        rows = await connection.fetch(
            "SELECT table_schema || '.' || table_name || '.' || column_name AS name FROM information_schema.columns"
            " WHERE table_schema = ANY($1) AND table_name !~ '^entries_'",
            list(SCHEMAS),
        )
    finally:
        await connection.close()
    return {row["name"] for row in rows}


def section() -> str:
    text = DOCUMENT.read_text(encoding="utf-8")
    return text.partition("## Personal data, column by column")[2].partition("\n## ")[0]


async def test_every_table_is_named_and_every_column_that_is_named_exists(house: House) -> None:
    there = await columns(house)
    named = set(_NAMED.findall(section()))
    assert named - there == set()
    tables = {name.rpartition(".")[0] for name in there}
    about = {name.rpartition(".")[0] for name in named}
    left = {table for table in tables - about if table.partition(".")[2] not in OF_NOBODY | OF_THE_LOG}
    assert left == set(), "say in ARCHITECTURE.md what these hold of a person, and what erasure does"


async def test_what_is_of_nobody_is_said_to_be(house: House) -> None:
    tables = {name.split(".")[1] for name in await columns(house)}
    assert tables >= OF_NOBODY
    assert all(f"`{table}`" in section() for table in OF_NOBODY)


async def test_a_column_that_is_named_for_a_person_is_in_the_table(house: House) -> None:
    """Names that tell by themselves; a new one has to be thought about."""
    telling = re.compile(r"(email|name|ip_address|user_agent|reason|notes|password_hash|subject|sid|sealed|origin)$")
    known = {
        # Names of things and of roles, kinds and causes that nobody writes.
        "audit.entries.partition_name", "gateway.roles.name", "gateway.security_rules.name", "gateway.clients.name",
    }  # fmt: skip
    named = set(_NAMED.findall(section()))
    open_ones = {one for one in await columns(house) if telling.search(one.rpartition(".")[2])} - named - known
    assert open_ones <= OTHERS, "say in ARCHITECTURE.md what these hold of a person, or here why nothing"


OTHERS = {
    "gateway.sessions.end_reason", "gateway.access_requests.end_reason", "gateway.operations.subject",
    "gateway.outbox.subject", "settings.outbox.subject", "notifications.outbox.subject", "audit.outbox.subject",
    "gateway.dead_letters.reason", "settings.dead_letters.reason", "notifications.dead_letters.reason",
    "audit.dead_letters.reason", "audit.dead_letters.last_reason", "audit.redactions.reason", "audit.sinks.name",
    "audit.legal_holds.name", "audit.legal_holds.reason", "audit.legal_holds.lift_reason",
}  # fmt: skip
"""Causes from a closed set, subjects by id, and words that must name nobody."""
