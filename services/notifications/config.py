"""The notifications service's environment."""

from libs.common.config import BrokerSettings, DatabaseSettings, DataSettings, HttpSettings, ObservabilitySettings


class Config(HttpSettings, DataSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """What an operator may set; the defaults are those of a single machine."""
