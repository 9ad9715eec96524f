"""A sink as it is set up and as it is answered."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictBool, ValidationInfo, field_validator

from libs.common.events.sinks import S3Target, SinkFormat, SinkName, Starts, Target
from libs.common.webhooks import secret_bytes
from services.gateway.features.schemas import ListResponse

MOST_FILTERS = 20
MOST_SECRET = 128


def secret_of(target: Target, secret: SecretStr) -> bytes:
    """The bytes that the audit service keeps: a key of Standard Webhooks, or the text that goes with an access key.

    Raises `ValueError` with the rule, and without the secret.
    """
    text = secret.get_secret_value()
    if not isinstance(target, S3Target):
        return secret_bytes(text)
    if not text.isascii() or not text.isprintable() or " " in text or not text:
        raise ValueError("must be the secret access key, in visible characters of ASCII")
    return text.encode()


class SinkRequest(BaseModel):
    """What a sink is. `secret` is `whsec_` and base64 for https, and the secret access key for s3; it is never answered.

    `starts` says where it begins: with what is recorded from `now` on, or at the `beginning` of the log.
    """

    model_config = ConfigDict(extra="forbid")

    name: SinkName
    target: Target
    format: SinkFormat = "json"
    filters: Annotated[dict[str, Any], Field(max_length=MOST_FILTERS)] = {}
    is_enabled: StrictBool = True
    secret: Annotated[SecretStr, Field(max_length=MOST_SECRET)] | None = None
    starts: Starts | None = None

    @field_validator("secret")
    @classmethod
    def _fits_its_target(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        # A target that is wrong itself is not there, and is told of.
        if secret is not None and "target" in info.data:
            secret_of(info.data["target"], secret)
        return secret


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
