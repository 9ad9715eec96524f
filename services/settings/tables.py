"""The columns of the settings schema's own tables, in the order in which the stores read and write them."""

from typing import Final

DEFINITION: Final = (
    "value_type", "category", "config_type", "description", "json_schema", "default_value", "is_public", "is_encrypted",
    "is_sensitive", "allow_override", "requires_approval",
)  # fmt: skip
"""The fields of `Definition`, in its order."""
STATE: Final = ("value", "secret_version", "secret_hint", "version", "updated_at", "updated_by")
SETTING: Final = ("key", *DEFINITION, *STATE)
PAST: Final = (
    "version", "step", "value", "is_encrypted", "secret_version", "secret_hint", "changed_by", "changed_at", "reason",
    "operation_id",
)  # fmt: skip
SECRET: Final = ("dek_id", "kek_id", "algorithm", "wrap_nonce", "wrapped_dek", "nonce", "ciphertext")
"""The fields of `SecretRecord`, in its order."""

_JSON: Final = frozenset({"json_schema", "default_value", "value"})


def selected(columns: tuple[str, ...]) -> str:
    """The columns for a SELECT. JSON is read as its text, in which every digit is as it was written."""
    return ", ".join(f"{name}::text AS {name}" if name in _JSON else name for name in columns)
