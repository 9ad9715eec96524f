"""The audit service's environment."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from libs.common.config import (
    BrokerSettings,
    DatabaseSettings,
    EgressSettings,
    ExportSettings,
    HttpSettings,
    ObservabilitySettings,
)
from services.audit.log.notes import is_key_name


def _key_name(value: str) -> str:
    if not is_key_name(value) or len(value) > MOST_ORIGIN:
        raise ValueError(f"must be 1 to {MOST_ORIGIN} characters without spaces and +, such as audit.example.com/log")
    return value


MOST_ORIGIN = 100


class Config(HttpSettings, ExportSettings, EgressSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """What an operator may set; the defaults are those of a single machine."""

    audit_retention_days: Annotated[int, Field(ge=1, le=36_500)] = 365
    audit_log_origin: Annotated[str, AfterValidator(_key_name)] = "reeve.local/audit"
    audit_signer_dir: Path | None = None

    @property
    def signer_dir(self) -> Path:
        """The signer's own folder: `REEVE_AUDIT_SIGNER_DIR`, else `audit-signer` below the data directory."""
        return self.audit_signer_dir or self.data_dir / "audit-signer"
