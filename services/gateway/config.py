"""The gateway's environment."""

from collections import Counter
from pathlib import Path
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
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode

from libs.common.config import (
    BrokerSettings,
    DatabaseSettings,
    EgressSettings,
    ExportSettings,
    HttpSettings,
    Networks,
    ObservabilitySettings,
)
from libs.common.egress.destinations import ForbiddenDestination, check_url
from services.gateway.access.breaches import FileList
from services.gateway.access.cross_site import page_origin
from services.gateway.access.issuers.models import MOST_ISSUERS, IssuerUrl, Origins, RoleMap, TrustedIssuer
from services.gateway.features.approvals.models import DEFAULT_SECONDS
from services.gateway.features.clients.models import Registration
from services.gateway.features.users.models import Email, NewPassword

MOST_BROWSER_ORIGINS = 8


def _rate(value: str) -> str:
    try:
        amount = parse(value).amount
    except ValueError:
        raise ValueError("must be a number per unit of time, such as 1200/minute") from None
    if amount < 1:
        raise ValueError("must allow at least one request")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    try:
        TypeAdapter(RedisDsn).validate_python(value.get_secret_value())
    except ValidationError:
        # Without the value, which may hold a password.
        raise ValueError("must be redis://[user:password@]host[:port][/number], or rediss:// for TLS") from None
    return value


def _distinct(value: tuple[Registration, ...]) -> tuple[Registration, ...]:
    twice = [name for name, count in Counter(one.client_id for one in value).items() if count > 1]
    if twice:
        raise ValueError(f"client_id {twice[0]} is there twice")
    return value


def _separated(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _page_origin(value: str) -> str:
    if page_origin(value) != value:
        raise ValueError("must be an origin as browsers write it: https://host[:port], or http on localhost")
    return value


PageOrigin = Annotated[str, AfterValidator(_page_origin)]
Rate = Annotated[str, AfterValidator(_rate)]


class Config(HttpSettings, ExportSettings, EgressSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """What an operator may set; the defaults are those of a single machine."""

    public_url: AnyHttpUrl | None = None
    admin_email: Email = "admin@example.com"
    admin_password: NewPassword | None = None
    clients: Annotated[tuple[Registration, ...], Field(max_length=1000), AfterValidator(_distinct)] = ()
    enforcement: Literal["enforce", "observe"] = "enforce"
    session_timeout: Annotated[int, Field(ge=1, le=7 * 86400)] = 3600
    session_absolute_timeout: Annotated[int, Field(ge=1, le=30 * 86400)] = 43200
    approval_timeout: Annotated[int, Field(ge=60, le=7 * 86400)] = DEFAULT_SECONDS
    rate_limit: Rate = "1200/minute"
    login_rate_limit: Rate = "30/minute"
    rate_limit_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = None
    settings_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8081")
    audit_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8082")
    notifications_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8083")
    audit_log_public: bool = False
    trusted_proxies: Networks = ()
    browser_origins: Annotated[
        tuple[PageOrigin, ...], NoDecode, BeforeValidator(_separated), Field(max_length=MOST_BROWSER_ORIGINS)
    ] = ()

    trusted_issuers: Annotated[tuple[TrustedIssuer, ...], Field(max_length=MOST_ISSUERS)] = ()
    oidc_issuer: IssuerUrl | None = None
    oidc_client_id: Annotated[str | None, Field(min_length=1, max_length=256, validate_default=True)] = None
    oidc_client_secret: SecretStr | None = None
    oidc_role_claim: Annotated[str, Field(min_length=1, max_length=255)] = "roles"
    oidc_role_map: RoleMap | None = None
    oidc_origins: Annotated[Origins, NoDecode, BeforeValidator(_separated)] = ()
    breach_list_url: Annotated[str | None, Field(max_length=512, pattern=r"^https?://[!-~]+$")] = None
    breach_list_file: Path | None = None

    @field_validator("trusted_issuers")
    @classmethod
    def _reachable_once(cls, found: tuple[TrustedIssuer, ...], info: ValidationInfo) -> tuple[TrustedIssuer, ...]:
        twice = [name for name, count in Counter(one.issuer for one in found).items() if count > 1]
        if twice:
            raise ValueError(f"issuer {twice[0]} is there twice")
        for one in found:
            for url in (one.issuer, one.introspection_endpoint, *one.origins):
                _check_reachable(url, info)
        return found

    @field_validator("oidc_issuer", "breach_list_url")
    @classmethod
    def _reachable(cls, found: str | None, info: ValidationInfo) -> str | None:
        _check_reachable(found, info)
        return found

    @field_validator("oidc_origins")
    @classmethod
    def _all_reachable(cls, found: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for url in found:
            _check_reachable(url, info)
        return found

    @field_validator("breach_list_file")
    @classmethod
    def _readable(cls, found: Path | None) -> Path | None:
        if found is not None:
            FileList(found).check()
        return found

    @field_validator("oidc_client_id")
    @classmethod
    def _there_with_its_issuer(cls, found: str | None, info: ValidationInfo) -> str | None:
        if found is None and info.data.get("oidc_issuer") is not None:
            raise ValueError("must be set where REEVE_OIDC_ISSUER is")
        return found

    @property
    def issuer(self) -> str:
        """The `iss` of the gateway's tokens: its public URL without a trailing slash."""
        return str(self.public_url).rstrip("/") if self.public_url else f"http://{self.host}:{self.port}"


def _check_reachable(url: str | None, info: ValidationInfo) -> None:
    try:
        if url is not None:
            check_url(url, allowed=info.data.get("egress_allow", ()))
    except ForbiddenDestination as error:
        raise ValueError(str(error)) from None
