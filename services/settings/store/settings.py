"""Settings: one row each, written together with the history entry of the version that the write makes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from libs.common.database.engine import Session, driver
from services.settings.models.decisions import Revision
from services.settings.models.errors import SettingExists, SettingNotFound
from services.settings.models.settings import Definition, SecretReference, Setting
from services.settings.tables import DEFINITION, SETTING, STATE, selected

MOST_COUNTED: Final = 10_001
MOST_PUBLIC: Final = 1000
MOST_CATEGORIES: Final = 1000

_COLUMNS = ", ".join(SETTING)
_PLACES = ", ".join(f"${number}" for number in range(1, len(SETTING) + 1))
_ASSIGNMENTS = ", ".join(f"{name} = ${number}" for number, name in enumerate((*DEFINITION, *STATE), start=2))
# The places of SETTING are numbered by its order; step, reason and operation follow them.
_HISTORY = """
    INSERT INTO setting_history (key, version, step, value, is_encrypted, secret_version, secret_hint, changed_by,
                                 changed_at, reason, operation_id)
    SELECT $1, $16, $19::text, $13, $9, $14, $15, $18, $17, $20::text, $21::uuid
"""
_INSERT = f"""
    WITH added AS (
        INSERT INTO settings ({_COLUMNS}) VALUES ({_PLACES}) ON CONFLICT (key) DO NOTHING RETURNING key
    ) {_HISTORY} FROM added
"""
_UPDATE = f"WITH changed AS (UPDATE settings SET {_ASSIGNMENTS} WHERE key = $1 RETURNING key) {_HISTORY} FROM changed"
_CHANGE = f"""
    WITH changed AS (
        UPDATE settings SET ({", ".join(STATE)}) = ({", ".join(f"new.{name}" for name in STATE)})
        FROM unnest($1::text[], $2::json[], $3::integer[], $4::text[], $5::integer[], $6::timestamptz[], $7::text[])
             AS new (key, {", ".join(STATE)})
        WHERE settings.key = new.key
    )
    INSERT INTO setting_history (key, value, secret_version, secret_hint, version, changed_at, changed_by, step,
                                 is_encrypted, reason, operation_id)
    SELECT * FROM unnest($8::text[], $9::json[], $10::integer[], $11::text[], $12::integer[], $13::timestamptz[],
                         $14::text[], $15::text[], $16::boolean[], $17::text[], $18::uuid[])
"""
_DELETE = """
    WITH gone AS (DELETE FROM settings WHERE key = $1 RETURNING key),
         destroyed AS (DELETE FROM setting_secrets WHERE key = $1)
    INSERT INTO setting_history (key, version, step, is_encrypted, changed_by, changed_at, reason, operation_id)
    SELECT $1, $2, 'deleted', $3, $4, $5, $6::text, $7::uuid FROM gone
"""
_FIND = f"SELECT {selected(SETTING)} FROM settings WHERE key = $1"
_FIND_ALL = f"SELECT {selected(SETTING)} FROM settings WHERE key = ANY($1::text[]) ORDER BY key"
_SEARCH = f"""
    WITH found AS NOT MATERIALIZED (
        SELECT {selected(SETTING)} FROM settings
        WHERE ($1::text IS NULL OR category = $1) AND ($2::text IS NULL OR config_type = $2)
          AND ($3::boolean IS NULL OR is_public = $3) AND ($4::text IS NULL OR key ILIKE $4 OR description ILIKE $4)
    ), counted AS (
        SELECT count(*) AS count FROM (SELECT FROM found LIMIT {MOST_COUNTED}) AS capped
    ), page AS (
        SELECT * FROM found WHERE key > $5 ORDER BY key LIMIT $6 OFFSET $7
    )
    SELECT counted.count, page.* FROM counted LEFT JOIN page ON true ORDER BY page.key
"""
_PUBLIC = f"SELECT {selected(SETTING)} FROM settings WHERE is_public ORDER BY key LIMIT {MOST_PUBLIC}"
_CATEGORIES = f"""
    SELECT category, count(*) AS count FROM settings GROUP BY category ORDER BY category LIMIT {MOST_CATEGORIES}
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of settings is narrowed to; `q` is looked for in keys and descriptions."""

    category: str | None = None
    config_type: str | None = None
    is_public: bool | None = None
    q: str | None = None


async def find(session: Session, key: str) -> Setting | None:
    """The setting, or None."""
    row = await driver(session).fetchrow(_FIND, key)
    return _setting(row) if row is not None else None


async def get(session: Session, key: str) -> Setting:
    """The setting. Raises `SettingNotFound`."""
    found = await find(session, key)
    if found is None:
        raise SettingNotFound(key)
    return found


async def find_locked(session: Session, key: str) -> Setting | None:
    """The setting with its row locked until the transaction ends, or None."""
    row = await driver(session).fetchrow(f"{_FIND} FOR UPDATE", key)
    return _setting(row) if row is not None else None


async def find_all_locked(session: Session, keys: Collection[str]) -> dict[str, Setting]:
    """Those of the settings that there are, by key, their rows locked until the transaction ends."""
    rows = await driver(session).fetch(f"{_FIND_ALL} FOR UPDATE", list(keys))
    return {row["key"]: _setting(row) for row in rows}


async def next_version(session: Session, key: str) -> int:
    """The version that a new setting of this key begins with: one more than any that ever was."""
    version = await driver(session).fetchval(
        "SELECT coalesce(max(version), 0) + 1 FROM setting_history WHERE key = $1", key
    )
    assert isinstance(version, int)
    return version


async def append(session: Session, revision: Revision, *, reason: str | None, operation_id: str | None) -> None:
    """Write a version and its history entry. Raises `SettingExists` for a new setting that somebody else made first."""
    after = revision.after
    query = _INSERT if revision.before is None else _UPDATE
    written = await driver(session).execute(query, *_fields(after), revision.step.value, reason, operation_id)
    if written != "INSERT 0 1":
        raise SettingExists(after.key)


async def append_changes(session: Session, changes: Sequence[tuple[Revision, str | None, str | None]]) -> None:
    """Write versions that change no definition, in order, each with its reason and operation; the rows are locked."""
    states = [(one.after.key, *_state(one.after)) for one, _, _ in changes]
    last = {state[0]: state for state in states}
    notes = [(one.step.value, one.after.definition.is_encrypted, reason, by) for one, reason, by in changes]
    written = [(*state, *note) for state, note in zip(states, notes, strict=True)]
    await driver(session).execute(_CHANGE, *zip(*last.values(), strict=True), *zip(*written, strict=True))


async def delete(session: Session, revision: Revision, *, reason: str | None, operation_id: str | None) -> None:
    """Delete the setting and its secrets; the history entry says so and keeps the version taken."""
    gone = revision.after
    await driver(session).execute(
        _DELETE, gone.key, gone.version, gone.definition.is_encrypted, gone.updated_by, gone.updated_at, reason, operation_id
    )  # fmt: skip


async def search(
    session: Session, filters: Filters, *, after_key: str = "", skip: int = 0, limit: int
) -> tuple[list[Setting], int]:
    """One page in the order of keys, and how many there are in all, counted up to 10,001."""
    rows = await driver(session).fetch(
        _SEARCH, filters.category, filters.config_type, filters.is_public, _like(filters.q), after_key, limit, skip
    )
    return [_setting(row[1:]) for row in rows if row["key"] is not None], int(rows[0]["count"])


async def public(session: Session) -> list[Setting]:
    """All public settings in the order of keys, up to 1,000."""
    return [_setting(row) for row in await driver(session).fetch(_PUBLIC)]


async def categories(session: Session) -> list[tuple[str, int]]:
    """Each category with how many settings it has, up to 1,000."""
    return [(row["category"], int(row["count"])) for row in await driver(session).fetch(_CATEGORIES)]


def _like(q: str | None) -> str | None:
    if q is None:
        return None
    escaped = q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _setting(row: Sequence[Any]) -> Setting:
    """`row` holds the columns of SETTING."""
    key, *definition = row[: 1 + len(DEFINITION)]
    value, secret_version, secret_hint, version, updated_at, updated_by = row[1 + len(DEFINITION) :]
    secret = SecretReference(secret_version, secret_hint) if secret_version is not None else None
    return Setting(key, Definition(*definition), value, secret, version, updated_at, updated_by)


def _fields(setting: Setting) -> tuple[object, ...]:
    """The columns of SETTING."""
    own = setting.definition
    return (
        setting.key, own.value_type, own.category, own.config_type, own.description, own.json_schema, own.default_value,
        own.is_public, own.is_encrypted, own.is_sensitive, own.allow_override, own.requires_approval, *_state(setting),
    )  # fmt: skip


def _state(setting: Setting) -> tuple[object, ...]:
    """The columns of STATE."""
    secret = setting.secret
    return (
        setting.value, secret.version if secret is not None else None, secret.hint if secret is not None else None,
        setting.version, setting.updated_at, setting.updated_by,
    )  # fmt: skip
