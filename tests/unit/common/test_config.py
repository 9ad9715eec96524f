"""A wrong environment is one line that names the variable and keeps secrets to itself."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, SecretStr

from libs.common.config import BrokerSettings, DatabaseSettings, DataSettings, HttpSettings, ObservabilitySettings
from libs.common.errors import ConfigError


class Config(HttpSettings, DataSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """A service's configuration."""

    mode: Literal["on", "off"] = "on"
    admin_password: Annotated[SecretStr | None, Field(min_length=12)] = None
    clients: tuple[dict[str, str], ...] = ()
    needed: str = "x"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Config.model_fields:
        monkeypatch.delenv(f"REEVE_{name.upper()}", raising=False)


def test_nothing_set_gives_the_documented_defaults() -> None:
    config = Config.load()
    assert (config.host, config.port, config.metrics_port) == ("127.0.0.1", 8080, 9464)
    assert str(config.data_dir) == ".reeve"
    assert (config.log_level, config.trace_sample, config.otlp_endpoint) == ("info", 0.01, None)


def test_variables_are_read_with_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_PORT", "9000")
    monkeypatch.setenv("PORT", "1")
    assert Config.load().port == 9000


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_PORT", "")
    monkeypatch.setenv("REEVE_DATABASE_URL", "")
    assert (Config.load().port, Config.load().database_url) == (8080, None)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "http", 'REEVE_PORT: must be a whole number, got "http"'),
        ("PORT", "70000", 'REEVE_PORT: must be less than or equal to 65535, got "70000"'),
        ("PORT", "1\n2", 'REEVE_PORT: must be a whole number, got "1\\n2"'),
        ("TRACE_SAMPLE", "2", 'REEVE_TRACE_SAMPLE: must be less than or equal to 1, got "2"'),
        ("ADMIN_PASSWORD", "short", "REEVE_ADMIN_PASSWORD: must be at least 12 long"),
        ("MODE", "maybe", "REEVE_MODE: must be 'on' or 'off', got \"maybe\""),
        ("CLIENTS", "{", "REEVE_CLIENTS: must be valid JSON"),
    ],
)
def test_a_wrong_value_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str) -> None:
    monkeypatch.setenv(f"REEVE_{name}", value)
    with pytest.raises(ConfigError) as wrong:
        Config.load()
    assert str(wrong.value) == line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADMIN_PASSWORD", "hunter2"),
        ("CLIENTS", '[{"client_secret": 17, "x": "hunter2"}]'),
        ("CLIENTS", '["hunter2"]'),
        ("CLIENTS", "hunter2"),
    ],
)
def test_a_wrong_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"REEVE_{name}", value)
    with pytest.raises(ConfigError) as wrong:
        Config.load()
    assert f"REEVE_{name}" in str(wrong.value)
    assert "hunter2" not in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert wrong.value.__cause__ is None


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(Exception, match="frozen"):
        setattr(Config.load(), "port", 1)  # noqa: B010


def test_a_configuration_does_not_print_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_DATABASE_URL", "postgresql://reeve:hunter2@db/reeve")
    assert "hunter2" not in repr(Config.load())
