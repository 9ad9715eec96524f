"""Messages about sinks: where the entries of the audit log stream to."""

from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator

from libs.common.events.catalog import Change, CommandData, MessageData, OutcomeData

_GATEWAY = "/reeve/gateway"
_AUDIT = "/reeve/audit"
_ID = "0199a0c0-0000-7000-8000-000000000001"
_TARGET = {"kind": "https", "url": "https://siem.example.com/reeve"}
MOST_PEM = 32_768
MOST_PREFIX_BYTES = 512
"""Of the 1,024 that the name of an object may have."""


def _prefix(value: str) -> str:
    """A beginning of names that every store and every client between takes as it is."""
    if len(value.encode()) > MOST_PREFIX_BYTES or not value.isprintable() or "\\" in value:
        raise ValueError(f"must be at most {MOST_PREFIX_BYTES} bytes of printable characters, and no backslash")
    if any(part in {"", ".", ".."} for part in value.split("/")[:-1]) or value in {".", ".."}:
        raise ValueError("must have no empty part between slashes, and none that is . or ..")
    return value


SinkName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
"""What a sink is called: no blanks around it."""
SinkFormat = Literal["json", "ocsf"]
Starts = Literal["now", "beginning"]


class SyslogTarget(BaseModel):
    """A syslog receiver: RFC 5424 messages, counted octets (RFC 6587) over TCP, or over TLS (RFC 5425)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["syslog"]
    host: Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9._:-]+$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 6514
    tls: StrictBool = True
    ca: Annotated[str, Field(max_length=MOST_PEM)] | None = None
    """Whom the receiver's certificate must be signed by, in PEM; without one, an authority that the system trusts."""


class HttpsTarget(BaseModel):
    """An HTTPS address that takes batches by POST, signed as Standard Webhooks 1.0.0 has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["https"]
    url: Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s#@]+$")]


class S3Target(BaseModel):
    """A bucket of storage that speaks S3: each batch is an object of one JSON line an entry, named by date and sequences.

    The secret belongs to `access_key_id`. `gzip` and `batch_seconds` (how long a batch waits to become full) are for
    entries; `write_once` asks the storage to replace nothing (`If-None-Match: *`), `retain_days` to lock each object.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["s3"]
    endpoint: Annotated[str, Field(max_length=300, pattern=r"^https?://[A-Za-z0-9._:\[\]-]+$")]
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    access_key_id: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.:@+-]+$")]
    region: Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9-]+$")] = "us-east-1"
    prefix: Annotated[str, Field(max_length=MOST_PREFIX_BYTES), AfterValidator(_prefix)] = ""
    addressing: Literal["path", "virtual_host"] = "path"
    ca: Annotated[str, Field(max_length=MOST_PEM)] | None = None
    """Whom the storage's certificate must be signed by, in PEM; without one, an authority that the system trusts."""
    gzip: StrictBool = True
    batch_seconds: Annotated[int, Field(ge=0, le=3600)] = 60
    encryption: Literal["AES256", "aws:kms"] | None = None
    kms_key_id: Annotated[str, Field(max_length=256, pattern=r"^[A-Za-z0-9:/_-]+$")] | None = None
    write_once: StrictBool = False
    retain_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    retain_mode: Literal["governance", "compliance"] = "governance"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.kms_key_id is not None and self.encryption != "aws:kms":
            raise ValueError("kms_key_id goes with the encryption aws:kms")
        host = urlsplit(self.endpoint).hostname or ""
        if self.addressing == "virtual_host" and (":" in host or host.rpartition(".")[2].isdigit()):
            raise ValueError("virtual_host needs an endpoint with a name")
        return self


Target = Annotated[SyslogTarget | HttpsTarget | S3Target, Field(discriminator="kind")]


class SinkDefinition(BaseModel):
    """What a sink is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: SinkName
    target: Target
    format: SinkFormat = "json"
    filters: dict[str, Any] = Field(default_factory=dict)
    is_enabled: bool = True


class CreateSink(CommandData):
    """Stream entries to a new place. `sealed_secret` is for the audit service alone."""

    TYPE: ClassVar[str] = "reeve.command.sink.create.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "create_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "create_sink", "definition": {"name": "SIEM", "target": _TARGET}, "sealed_secret": "c2VhbGVk",
    }  # fmt: skip

    action: Literal["create_sink"] = "create_sink"
    definition: SinkDefinition
    sealed_secret: str | None = Field(default=None, max_length=1024)
    starts: Starts = "now"


class ChangeSink(CommandData):
    """Replace what a sink is. Without a secret it keeps its own; without `starts` it goes on where it is."""

    TYPE: ClassVar[str] = "reeve.command.sink.change.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "update_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "update_sink", "sink_id": _ID, "definition": {"name": "SIEM", "target": _TARGET},
    }  # fmt: skip

    action: Literal["update_sink"] = "update_sink"
    sink_id: str = Field(max_length=36)
    definition: SinkDefinition
    sealed_secret: str | None = Field(default=None, max_length=1024)
    starts: Starts | None = None
    expected_version: int | None = None


class DeleteSink(CommandData):
    """Stream nothing there any more."""

    TYPE: ClassVar[str] = "reeve.command.sink.delete.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "delete_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "delete_sink", "sink_id": _ID}

    action: Literal["delete_sink"] = "delete_sink"
    sink_id: str = Field(max_length=36)
    expected_version: int | None = None


class TestSink(CommandData):
    """Send a message that says it is a test; its cursor stays where it is."""

    TYPE: ClassVar[str] = "reeve.command.sink.test.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "test_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "test_sink", "sink_id": _ID}
    __test__: ClassVar[bool] = False

    action: Literal["test_sink"] = "test_sink"
    sink_id: str = Field(max_length=36)


class SinkCreated(OutcomeData):
    """There is a sink."""

    TYPE: ClassVar[str] = "reeve.sink.created.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "create_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 201, "sink_id": _ID, "name": "SIEM", "changes": {"target": {"old": None, "new": _TARGET}},
        "result": {"id": _ID, "name": "SIEM", "version": 1},
    }  # fmt: skip

    sink_id: str
    name: str
    changes: dict[str, Change]


class SinkChanged(OutcomeData):
    """A sink is something else now."""

    TYPE: ClassVar[str] = "reeve.sink.changed.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "update_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "sink_id": _ID, "name": "SIEM", "changes": {"is_enabled": {"old": True, "new": False}},
        "result": {"id": _ID, "name": "SIEM", "version": 2},
    }  # fmt: skip

    sink_id: str
    name: str
    changes: dict[str, Change]


class SinkDeleted(OutcomeData):
    """A sink is no more."""

    TYPE: ClassVar[str] = "reeve.sink.deleted.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "delete_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {"status": 204, "sink_id": _ID, "name": "SIEM"}

    sink_id: str
    name: str


class SinkTestStarted(OutcomeData):
    """A test of a sink waits for its turn; the sink's `last_test` says how it ended."""

    TYPE: ClassVar[str] = "reeve.sink.test_started.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "test_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "sink_id": _ID, "name": "SIEM", "result": {"test_id": _ID, "state": "waiting"},
    }  # fmt: skip

    sink_id: str
    name: str


class SinkFailed(MessageData):
    """A sink has failed for long, or its receiver wants nothing more (`disabled`)."""

    TYPE: ClassVar[str] = "reeve.sink.failed.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "report_failing_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "sink_id": _ID, "name": "SIEM", "state": "failing", "error_message": "the receiver answered 500", "cursor": 4711,
        "outcome": "failure",
    }  # fmt: skip

    sink_id: str
    name: str
    state: Literal["failing", "disabled"]
    error_message: str
    cursor: int
    outcome: Literal["failure"] = "failure"


class SinkRecovered(MessageData):
    """A sink that had failed for long takes entries again."""

    TYPE: ClassVar[str] = "reeve.sink.recovered.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "report_recovered_sink"
    EXAMPLE: ClassVar[dict[str, Any]] = {"sink_id": _ID, "name": "SIEM", "cursor": 4711}

    sink_id: str
    name: str
    cursor: int
