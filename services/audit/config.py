"""The audit service's environment."""

from typing import Annotated

from pydantic import Field

from libs.common.config import (
    BrokerSettings,
    DatabaseSettings,
    ExportSettings,
    HttpSettings,
    ObservabilitySettings,
)


class Config(HttpSettings, ExportSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """What an operator may set; the defaults are those of a single machine."""

    audit_retention_days: Annotated[int, Field(ge=1, le=36_500)] = 365
