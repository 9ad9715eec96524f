"""The gateway's environment."""

from collections import Counter
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from limits import parse
from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BeforeValidator,
    Field,
    RedisDsn,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_settings import NoDecode

from libs.common.config import (
    BrokerSettings,
    DatabaseSettings,
    DataSettings,
    HttpSettings,
    ObservabilitySettings,
)
from services.gateway.features.clients.models import Registration
from services.gateway.features.users.models import Email, NewPassword

Network = IPv4Network | IPv6Network


def _rate(value: str) -> str:
    try:
        parse(value)
    except ValueError:
        raise ValueError("must be a number per unit of time, such as 1200/minute") from None
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    try:
        TypeAdapter(RedisDsn).validate_python(value.get_secret_value())
    except ValidationError:
        # Without the value, which may hold a password.
        raise ValueError("must be redis://[user:password@]host[:port][/number], or rediss:// for TLS") from None
    return value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be addresses or CIDRs without host bits, separated by commas") from None


def _distinct(value: tuple[Registration, ...]) -> tuple[Registration, ...]:
    twice = [name for name, count in Counter(one.client_id for one in value).items() if count > 1]
    if twice:
        raise ValueError(f"client_id {twice[0]} is there twice")
    return value


Rate = Annotated[str, AfterValidator(_rate)]


class Config(HttpSettings, DataSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """What an operator may set; the defaults are those of a single machine."""

    public_url: AnyHttpUrl | None = None
    admin_email: Email = "admin@example.com"
    admin_password: NewPassword | None = None
    clients: Annotated[tuple[Registration, ...], Field(max_length=1000), AfterValidator(_distinct)] = ()
    enforcement: Literal["enforce", "observe"] = "enforce"
    session_timeout: Annotated[int, Field(ge=1, le=7 * 86400)] = 3600
    session_absolute_timeout: Annotated[int, Field(ge=1, le=30 * 86400)] = 43200
    rate_limit: Rate = "1200/minute"
    login_rate_limit: Rate = "30/minute"
    rate_limit_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = None
    settings_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8081")
    audit_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8082")
    notifications_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8083")
    audit_log_public: bool = False
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()

    @property
    def issuer(self) -> str:
        """The `iss` of the gateway's tokens: its public URL without a trailing slash."""
        return str(self.public_url).rstrip("/") if self.public_url else f"http://{self.host}:{self.port}"
