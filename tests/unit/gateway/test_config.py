"""A wrong environment is one clear line that holds no secret."""

import json

import pytest

from libs.common.errors import ConfigError
from services.gateway.config import Config


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Config:
    for name, value in environment.items():
        monkeypatch.setenv(f"REEVE_{name}", value)
    return Config.load()


def client(**changes: object) -> str:
    return json.dumps(
        [{"client_id": "shop", "client_secret": "canary-secret", "scopes": ["events:publish"], **changes}]
    )


def test_the_defaults_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(monkeypatch)
    assert (config.session_timeout, config.rate_limit, config.login_rate_limit) == (3600, "1200/minute", "30/minute")
    assert config.session_absolute_timeout == 43200
    assert config.enforcement == "enforce"
    assert (config.clients, config.trusted_proxies, config.issuer) == ((), (), "http://127.0.0.1:8080")


def test_clients_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = load(monkeypatch, CLIENTS=client(event_types=["com.shop.*"])).clients
    assert (one.client_id, one.name, one.source, one.event_types) == ("shop", "shop", "/platform/shop", ["com.shop.*"])


def test_the_issuer_is_the_public_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, PUBLIC_URL="https://reeve.example/").issuer == "https://reeve.example"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_LIMIT_URL", "http://user:canary-secret@cache.example:6379"),
        ("CLIENTS", "{not json"),
        ("CLIENTS", "{}"),
        ("CLIENTS", client(client_secret="canary")),
        ("CLIENTS", client(client_id="guest")),
        ("CLIENTS", client(client_id="reeve_audit")),
        ("CLIENTS", client(source="/reeve/audit")),
        ("CLIENTS", client(source="/Reeve")),
        ("CLIENTS", client(event_types=["reeve.setting.*"])),
        ("CLIENTS", client(scopes=["everything"])),
        ("CLIENTS", client(scopes=["*"])),
        ("CLIENTS", client(surprise="canary")),
        ("CLIENTS", json.dumps([*json.loads(client()), *json.loads(client())])),
        ("RATE_LIMIT", "many"),
        ("LOGIN_RATE_LIMIT", "30"),
        ("ENFORCEMENT", "off"),
        ("ENFORCEMENT", "Observe"),
        ("SESSION_TIMEOUT", "0"),
        ("SESSION_ABSOLUTE_TIMEOUT", "0"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "everybody"),
        ("ADMIN_EMAIL", "nobody"),
        ("ADMIN_PASSWORD", "canary"),
        ("PUBLIC_URL", "ftp://reeve.example"),
        ("PORT", "99999"),
    ],
)
def test_a_wrong_value_is_one_line_without_secrets(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(monkeypatch, **{name: value})
    line = str(refused.value)
    assert line.startswith(f"REEVE_{name}: ")
    assert "\n" not in line
    assert "canary" not in line
