"""What the gateway decides about settings itself: whether something concerns a secret. Pure."""

from collections.abc import Mapping
from typing import Any


def concerns_secret(setting: Mapping[str, Any]) -> bool:
    """Whether a setting, a definition or a change of one is about a value that is not shown to everybody."""
    return setting.get("value_type") == "secret" or bool(setting.get("is_encrypted") or setting.get("is_sensitive"))
