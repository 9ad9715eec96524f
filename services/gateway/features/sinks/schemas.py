"""A sink as it is set up and as it is answered."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StrictBool

from libs.common.events.sinks import SinkFormat, SinkName, Starts, Target
from libs.common.webhooks import secret_bytes
from services.gateway.features.schemas import ListResponse

MOST_FILTERS = 20
MOST_SECRET = 128


def _secret(secret: SecretStr) -> SecretStr:
    secret_bytes(secret.get_secret_value())
    return secret


class SinkRequest(BaseModel):
    """What a sink is. `secret` (https alone) is `whsec_` and base64; it is never answered.

    `starts` says where it begins: with what is recorded from `now` on, or at the `beginning` of the log.
    """

    model_config = ConfigDict(extra="forbid")

    name: SinkName
    target: Target
    format: SinkFormat = "json"
    filters: Annotated[dict[str, Any], Field(max_length=MOST_FILTERS)] = {}
    is_enabled: StrictBool = True
    secret: Annotated[SecretStr, Field(max_length=MOST_SECRET), AfterValidator(_secret)] | None = None
    starts: Starts | None = None


class SinkTestResponse(BaseModel):
    """A test: `waiting`, `passed` or `failed`."""

    id: str
    state: Literal["waiting", "passed", "failed"]
    error: str | None
    tested_at: datetime | None


class SinkResponse(BaseModel):
    """One sink. `cursor` is the first sequence that was not sent yet, `backlog` how many entries lie from there on."""

    id: str
    name: str
    target: Target
    format: SinkFormat
    filters: dict[str, Any]
    has_secret: bool
    is_enabled: bool
    state: Literal["ok", "retrying", "failing", "disabled"]
    cursor: int
    backlog: int
    sent: int
    failures: int
    last_error: str | None
    last_error_at: datetime | None
    last_synced_at: datetime | None
    next_try_at: datetime | None
    last_test: SinkTestResponse | None
    version: int
    created_by: str
    created_at: datetime
    updated_at: datetime


class SinksResponse(ListResponse):
    """All sinks, oldest first."""

    sinks: list[SinkResponse]
