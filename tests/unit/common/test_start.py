"""What every service's start makes of its configuration."""

import pytest

from libs.common.config import BrokerSettings, DatabaseSettings
from libs.common.errors import ConfigError
from libs.common.start import open_database


class Config(DatabaseSettings, BrokerSettings):
    """What a service's configuration has of these."""


def test_a_pool_is_as_large_as_configured_unless_its_use_says_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_DATABASE_URL", "postgresql://reeve_audit@127.0.0.1/reeve")
    monkeypatch.setenv("REEVE_DATABASE_CONNECTIONS", "3")
    config = Config.load()
    assert open_database(config, "audit").most_connections == 3
    assert open_database(config, "audit", pool_size=2).most_connections == 2


@pytest.mark.parametrize("given", ["1", "201", "many"])
def test_a_pool_of_no_sensible_size_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("REEVE_DATABASE_CONNECTIONS", given)
    with pytest.raises(ConfigError, match="REEVE_DATABASE_CONNECTIONS"):
        Config.load()
