"""The audit service's environment."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from libs.common.config import (
    BrokerSettings,
    DatabaseSettings,
    EgressSettings,
    ExportSettings,
    HttpSettings,
    ObservabilitySettings,
)
from libs.common.events.sinks import S3Target
from libs.common.webhooks import secret_bytes
from services.audit.log.cosignatures import WitnessKey
from services.audit.log.notes import is_key_name
from services.audit.models.witnesses import Quorum


def _key_name(value: str) -> str:
    if not is_key_name(value) or len(value) > MOST_ORIGIN:
        raise ValueError(f"must be 1 to {MOST_ORIGIN} characters without spaces and +, such as audit.example.com/log")
    return value


def _webhook_secret(value: SecretStr) -> SecretStr:
    secret_bytes(value.get_secret_value())
    return value


def _witness_key(value: str) -> str:
    return WitnessKey.parse(value).text


MOST_ORIGIN = 100
MOST_WITNESSES = 8


class WitnessTarget(BaseModel):
    """A witness: where it is asked, and the key that it cosigns with."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: AnyHttpUrl
    vkey: Annotated[str, AfterValidator(_witness_key)]

    @property
    def key(self) -> WitnessKey:
        """The key of its text."""
        return WitnessKey.parse(self.vkey)


def _several(value: tuple[WitnessTarget, ...]) -> tuple[WitnessTarget, ...]:
    keys = [one.key for one in value]
    if len({key.name for key in keys}) < len(keys) or len({key.public for key in keys}) < len(keys):
        raise ValueError("no name and no key of a witness may come twice")
    return value


class Config(HttpSettings, ExportSettings, EgressSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """What an operator may set; the defaults are those of a single machine."""

    audit_archive_dir: Path | None = None
    audit_archive_bucket: S3Target | None = None
    audit_archive_bucket_secret: SecretStr | None = None
    audit_retention_days: Annotated[int, Field(ge=1, le=36_500)] = 365
    audit_anchor_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    audit_anchor_file: Path | None = None
    audit_anchor_webhook_url: AnyHttpUrl | None = None
    audit_anchor_webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secret)] | None = None
    audit_anchor_bucket: S3Target | None = None
    audit_anchor_bucket_secret: SecretStr | None = None
    audit_anchor_tsa_url: AnyHttpUrl | None = None
    audit_anchor_tsa_roots: Path | None = None
    audit_witnesses: Annotated[
        tuple[WitnessTarget, ...], Field(max_length=MOST_WITNESSES), AfterValidator(_several)
    ] = ()
    audit_witness_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    audit_witness_quorum: Annotated[int, Field(ge=1, le=MOST_WITNESSES)] | None = None
    audit_log_origin: Annotated[str, AfterValidator(_key_name)] = "reeve.local/audit"
    audit_signer_dir: Path | None = None

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> Self:
        for url, beside, name in (
            (self.audit_archive_bucket, self.audit_archive_bucket_secret, "REEVE_AUDIT_ARCHIVE_BUCKET_SECRET"),
            (self.audit_anchor_bucket, self.audit_anchor_bucket_secret, "REEVE_AUDIT_ANCHOR_BUCKET_SECRET"),
            (self.audit_anchor_webhook_url, self.audit_anchor_webhook_secret, "REEVE_AUDIT_ANCHOR_WEBHOOK_SECRET"),
            (self.audit_anchor_tsa_url, self.audit_anchor_tsa_roots, "REEVE_AUDIT_ANCHOR_TSA_ROOTS"),
        ):
            if (url is None) != (beside is None):
                raise ValueError(f"{name} and what it belongs to are set together")
        return self

    @field_validator("audit_witness_quorum")
    @classmethod
    def _quorum_can_be_met(cls, value: int | None, others: ValidationInfo) -> int | None:
        count = len(others.data.get("audit_witnesses", range(MOST_WITNESSES)))
        if value is not None and value > count:
            raise ValueError(f"must be at most the number of witnesses, {count}")
        return value

    @property
    def quorum(self) -> Quorum | None:
        """Whose cosignatures count, and how many make a head witnessed: all, unless fewer are asked for. None without witnesses."""
        keys = tuple(one.key for one in self.audit_witnesses)
        return Quorum(keys, self.audit_witness_quorum or len(keys)) if keys else None

    @property
    def archives(self) -> Path:
        """Where archives are written, and lie unless there is a bucket: `REEVE_AUDIT_ARCHIVE_DIR`, else `audit-archive` below the data directory."""
        return self.audit_archive_dir or self.data_dir / "audit-archive"

    @property
    def signer_dir(self) -> Path:
        """The signer's own folder: `REEVE_AUDIT_SIGNER_DIR`, else `audit-signer` below the data directory."""
        return self.audit_signer_dir or self.data_dir / "audit-signer"
