"""A platform service as an OAuth client: what its registration must look like."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from services.gateway.access.permissions import PERMISSIONS

RESERVED_IDS = re.compile(r"guest|reeve_.*")
"""Broker users that are not a platform's: the development user and Reeve's own services."""

_USUAL = frozenset({"events:publish", "alerts:ingest", "flags:evaluate"})


def _checked_client_id(value: str) -> str:
    if RESERVED_IDS.fullmatch(value):
        raise ValueError("this client_id is reserved")
    return value


def _checked_source(value: str) -> str:
    if value.lower() == "/reeve" or value.lower().startswith("/reeve/"):
        raise ValueError("sources below /reeve are Reeve's own")
    return value


def _checked_pattern(value: str) -> str:
    if value.startswith("reeve."):
        raise ValueError("types below reeve. are Reeve's own")
    return value


def _checked_scope(value: str) -> str:
    if value not in PERMISSIONS:
        raise ValueError("no such permission")
    return value


ClientId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"), AfterValidator(_checked_client_id)
]
Source = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,255}$"), AfterValidator(_checked_source)]
TypePattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9*._-]{1,255}$"), AfterValidator(_checked_pattern)]
Scope = Annotated[str, StringConstraints(max_length=64), AfterValidator(_checked_scope)]
ClientName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Scopes = Annotated[list[Scope], Field(max_length=len(PERMISSIONS))]
TypePatterns = Annotated[list[TypePattern], Field(max_length=100)]


class Registration(BaseModel):
    """One entry of `REEVE_CLIENTS`: a client that is there from the start."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    client_id: ClientId
    client_secret: SecretStr = Field(min_length=8, max_length=256)
    name: ClientName
    scopes: Scopes = Field(default_factory=list)
    source: Source
    event_types: TypePatterns = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_id(cls, given: object) -> object:
        """Without a name or a source of its own, a client goes by its id."""
        if isinstance(given, dict) and isinstance(given.get("client_id"), str):
            return {"name": given["client_id"], "source": f"/platform/{given['client_id']}", **given}
        return given


def is_wide(scope: str) -> bool:
    """Whether a scope lets a client change something here, and not only read, or bring what platforms bring."""
    return not scope.endswith(":read") and scope not in _USUAL


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client, without its secret."""

    id: str
    client_id: str
    name: str
    source: str
    scopes: tuple[str, ...]
    event_types: tuple[str, ...]
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    permission_epoch: int
