"""What may be exported, and how an export is answered."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.gateway.features.exports.models import SOURCES
from services.gateway.features.schemas import ListResponse

MOST_FILTERS = 20

State = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]


class StartExportRequest(BaseModel):
    """An export to be made. `filters` are those of the source's list; a list means any of its values."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, Field(max_length=64, description=f"One of: {', '.join(one.name for one in SOURCES)}.")]
    format: Literal["csv", "jsonl", "parquet", "ocsf"]
    filters: Annotated[dict[str, Any], Field(max_length=MOST_FILTERS)] = {}
    compression: Annotated[
        Literal["none", "gzip", "zstd"], Field(description="Of the file; of a Parquet file's columns.")
    ] = "none"
    ocsf_version: Annotated[
        str | None, Field(max_length=32, description="With `format` `ocsf`: the version of its schema.")
    ] = None

    @model_validator(mode="after")
    def _version_of_what(self) -> Self:
        if self.ocsf_version is not None and self.format != "ocsf":
            raise ValueError("ocsf_version belongs to the format ocsf alone")
        return self

    def options(self) -> dict[str, Any]:
        """What belongs to the format."""
        return {"ocsf_version": self.ocsf_version} if self.ocsf_version is not None else {}


class ExportResponse(BaseModel):
    """One export. `manifest_jws` is the manifest signed by the service (JWS, compact); its keys are at `/exports/keys`.

    `download_url` is there once the export has succeeded: it works without a token, for 15 minutes, as long as the
    session that asked for it lives.
    """

    id: str
    source: str
    format: str
    compression: str
    ocsf_version: str | None = None
    filters: dict[str, Any]
    state: State
    progress: float
    rows: int
    bytes: int
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    error: dict[str, Any] | None
    manifest: dict[str, Any] | None
    manifest_jws: str | None
    download_url: str | None = None


class ExportsResponse(ListResponse):
    """One page of one's own exports, newest first."""

    exports: list[ExportResponse]


class ExportKeysResponse(BaseModel):
    """The public keys of manifests, as a JWK set (RFC 7517)."""

    keys: list[dict[str, Any]]
