"""Encrypted secrets, one row for each version of a setting that wrote one."""

from typing import Final

from libs.common.database.engine import Session, driver
from services.settings.secrets.vault import SecretRecord, Slot
from services.settings.tables import SECRET

MOST_KEPT: Final = 10
"""Versions of one secret that are kept to go back to; older ones are destroyed."""

_COLUMNS = ", ".join(SECRET)
_APPEND = f"""
    WITH destroyed AS (
        DELETE FROM setting_secrets WHERE key = $1 AND scope = $2 AND version <= (
            SELECT version FROM setting_secrets WHERE key = $1 AND scope = $2
            ORDER BY version DESC OFFSET {MOST_KEPT - 1} LIMIT 1
        )
    )
    INSERT INTO setting_secrets (key, scope, version, {_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_FIND = f"SELECT {_COLUMNS} FROM setting_secrets WHERE key = $1 AND scope = $2 AND version = $3"


async def append(session: Session, slot: Slot, record: SecretRecord) -> None:
    """Keep a secret for its slot, and at most nine older ones of the same setting."""
    await driver(session).execute(
        _APPEND, slot.key, slot.scope, slot.version, record.dek_id, record.kek_id, record.algorithm, record.wrap_nonce,
        record.wrapped_dek, record.nonce, record.ciphertext,
    )  # fmt: skip


async def find(session: Session, slot: Slot) -> SecretRecord | None:
    """The secret of this slot, or None once it was destroyed."""
    row = await driver(session).fetchrow(_FIND, slot.key, slot.scope, slot.version)
    return SecretRecord(str(row["dek_id"]), *row[1:]) if row is not None else None


async def key_ids(session: Session) -> list[str]:
    """The ids of the key-encryption keys that some stored secret needs."""
    rows = await driver(session).fetch("SELECT DISTINCT kek_id FROM setting_secrets")
    return [row["kek_id"] for row in rows]
