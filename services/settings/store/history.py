"""The past versions of settings; written by `store.settings`, together with the setting."""

import asyncpg

from libs.common.database.engine import Session, driver
from services.settings.models.kinds import Step
from services.settings.models.settings import Past, SecretReference
from services.settings.store.settings import MOST_COUNTED
from services.settings.tables import PAST, selected

_COLUMNS = selected(PAST)
_FIND = f"SELECT {_COLUMNS} FROM setting_history WHERE key = $1 AND version = $2"
_SEARCH = f"""
    WITH counted AS (
        SELECT count(*) AS count FROM (SELECT FROM setting_history WHERE key = $1 LIMIT {MOST_COUNTED}) AS capped
    ), page AS (
        SELECT {_COLUMNS} FROM setting_history WHERE key = $1 AND ($2::integer IS NULL OR version < $2)
        ORDER BY version DESC LIMIT $3 OFFSET $4
    )
    SELECT EXISTS (SELECT FROM settings WHERE key = $1) AS is_there, counted.count, page.*
    FROM counted LEFT JOIN page ON true ORDER BY page.version DESC
"""


async def find(session: Session, key: str, version: int) -> Past | None:
    """One past version, or None."""
    row = await driver(session).fetchrow(_FIND, key, version)
    return _past(row) if row is not None else None


async def search(
    session: Session, key: str, *, before_version: int | None = None, skip: int = 0, limit: int
) -> tuple[list[Past], int] | None:
    """One page, newest first, and how many versions there are, counted up to 10,001; None when the setting is gone."""
    rows = await driver(session).fetch(_SEARCH, key, before_version, limit, skip)
    if not rows[0]["is_there"]:
        return None
    return [_past(row[2:]) for row in rows if row["version"] is not None], int(rows[0]["count"])


async def erase_reasons(session: Session, admin_id: str) -> int:
    """No version says any more why this administrator made it; returns how many did."""
    return int(await driver(session).fetchval("SELECT erase_reasons($1)", admin_id))


def _past(row: asyncpg.Record) -> Past:
    """`row` holds the columns of PAST."""
    version, step, value, is_encrypted, secret_version, secret_hint, by, at, reason, operation_id = row
    secret = SecretReference(secret_version, secret_hint) if secret_version is not None else None
    operation = str(operation_id) if operation_id is not None else None
    return Past(version, Step(step), value, is_encrypted, secret, by, at, reason, operation)
