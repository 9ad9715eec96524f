"""Configuration: environment variables with the prefix `REEVE_`, checked once at start.

A service's own `config` module subclasses `Settings` (and the mixins here that it needs); only its
composition root reads it. A wrong value is a `ConfigError` with one line; what may be a secret is
never repeated in it.
"""

import json
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from libs.common.errors import ConfigError

PREFIX = "REEVE_"
_MOST_ECHOED = 60
_PLAIN_RULES = {
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "too_short": "must be at least {min_length} long",
    "too_long": "must be at most {max_length} long",
}
"""Rules that say it shorter than pydantic does."""
_UNSPEAKABLE = ("password", "secret", "key", "token", "url", "client", "credential", "issuers")


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be addresses or CIDRs without host bits, separated by commas") from None


Port = Annotated[int, Field(ge=1, le=65535)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]


class Settings(BaseSettings):
    """The base of every service's configuration. An empty variable counts as absent."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment. Raises `ConfigError` with one line that names the first wrong variable."""
        try:
            return cls()
        except ValidationError as error:
            raise ConfigError(_line(error.errors(include_url=False)[0])) from None
        except SettingsError as error:
            raise ConfigError(_unparsable(cls, error)) from None


class HttpSettings(Settings):
    """Where a process listens."""

    host: str = "127.0.0.1"
    port: Port = 8080
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9464


class DataSettings(Settings):
    """Where a process keeps files, keys among them."""

    data_dir: Path = Path(".reeve")
    keys_dir: Path | None = None

    @property
    def keys(self) -> Path:
        """The directory of the key files: `REEVE_KEYS_DIR`, else `keys` below the data directory."""
        return self.keys_dir or self.data_dir / "keys"


class EgressSettings(Settings):
    """Which networks calls to the outside may reach although they are not public."""

    egress_allow: Networks = ()


class ExportSettings(DataSettings):
    """Where exports lie, for how long, and how large one may become."""

    exports_dir: Path | None = None
    exports_kept_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 24
    exports_most_rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 10_000_000
    exports_most_mib: Annotated[int, Field(ge=1, le=1_048_576)] = 4096
    exports_most_seconds: Annotated[int, Field(ge=1, le=86_400)] = 3600

    @property
    def exports(self) -> Path:
        """The directory of the files: `REEVE_EXPORTS_DIR`, else `exports` below the data directory."""
        return self.exports_dir or self.data_dir / "exports"


class DatabaseSettings(Settings):
    """Which Postgres; a URL may hold a password and is therefore a secret. And how many connections a pool may hold."""

    database_url: SecretStr | None = None
    database_connections: Annotated[int, Field(ge=2, le=200)] = 10


class BrokerSettings(Settings):
    """Which broker: an AMQP URL, `embedded`, or None to look for one on the local default port."""

    amqp_url: SecretStr | None = None
    amqp_namespace: Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,64}$")] = ""
    amqp_declare: bool = True


class ObservabilitySettings(Settings):
    """Logs and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    otlp_endpoint: str | None = None
    trace_sample: Annotated[float, Field(ge=0, le=1)] = 0.01


def _line(error: ErrorDetails) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    variable = f"{PREFIX}{name.removeprefix(PREFIX.lower()).upper()}"
    where = ".".join(str(part) for part in error["loc"][1:])
    rule = _rule(error)
    text = f"{variable}: {f'{where}: ' if where else ''}{rule}"
    if error["type"] == "missing":
        return f"{variable}: {f'{where}: ' if where else ''}must be set"
    given = error.get("input")
    if any(word in f"{name} {where}" for word in _UNSPEAKABLE) or not isinstance(given, str | int | float):
        return text
    return f"{text}, got {json.dumps(str(given)[:_MOST_ECHOED])}"


def _rule(error: ErrorDetails) -> str:
    plain = _PLAIN_RULES.get(error["type"])
    if plain is not None:
        return plain.format_map(error.get("ctx", {}))
    return error["msg"].replace("Input should be", "must be").replace("String should", "must").replace("\n", " ")


def _unparsable(settings: type[Settings], error: SettingsError) -> str:
    named = [name for name in settings.model_fields if f'"{name}"' in str(error)]
    return f"{PREFIX}{named[0].upper()}: must be valid JSON" if named else "the environment cannot be read"
