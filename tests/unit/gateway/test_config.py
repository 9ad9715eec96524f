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


def issuer(**changes: object) -> str:
    said = {"issuer": "https://idp.example", "audience": "reeve-api", "role_map": {"staff": "viewer"}}
    return json.dumps([{**said, **changes}])


def test_the_defaults_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(monkeypatch)
    assert (config.session_timeout, config.rate_limit, config.login_rate_limit) == (3600, "1200/minute", "30/minute")
    assert (config.session_absolute_timeout, config.approval_timeout) == (43200, 86400)
    assert config.enforcement == "enforce"
    assert (config.clients, config.trusted_proxies, config.issuer) == ((), (), "http://127.0.0.1:8080")


def test_clients_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = load(monkeypatch, CLIENTS=client(event_types=["com.shop.*"])).clients
    assert (one.client_id, one.name, one.source, one.event_types) == ("shop", "shop", "/platform/shop", ["com.shop.*"])


def test_the_issuer_is_the_public_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, PUBLIC_URL="https://reeve.example/").issuer == "https://reeve.example"


def test_further_origins_of_pages_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(monkeypatch, BROWSER_ORIGINS="https://admin.example, http://localhost:8080").browser_origins
    assert found == ("https://admin.example", "http://localhost:8080")
    assert load(monkeypatch, BROWSER_ORIGINS="").browser_origins == ()


def test_trusted_issuers_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = load(monkeypatch, TRUSTED_ISSUERS=issuer(algorithms=["PS256"], role_claim="groups")).trusted_issuers
    assert (one.issuer, one.audience, one.algorithms) == ("https://idp.example", "reeve-api", ("PS256",))
    assert (one.role_claim, dict(one.role_map)) == ("groups", {"staff": "viewer"})


def test_an_issuer_without_tls_is_taken_only_where_calls_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = issuer(issuer="http://10.1.2.3/realms/a")
    with pytest.raises(ConfigError, match="REEVE_TRUSTED_ISSUERS"):
        load(monkeypatch, TRUSTED_ISSUERS=inside)
    assert load(monkeypatch, TRUSTED_ISSUERS=inside, EGRESS_ALLOW="10.1.0.0/16").trusted_issuers


def test_signing_in_elsewhere_is_configured_by_issuer_and_client(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(
        monkeypatch,
        OIDC_ISSUER="https://idp.example",
        OIDC_CLIENT_ID="reeve",
        OIDC_ROLE_MAP='{"staff": "viewer"}',
        OIDC_ORIGINS="https://keys.example, https://api.example",
    )
    assert (config.oidc_issuer, config.oidc_client_id, config.oidc_role_claim) == (
        "https://idp.example", "reeve", "roles",
    )  # fmt: skip
    assert (config.oidc_role_map, config.oidc_origins) == (
        {"staff": "viewer"}, ("https://keys.example", "https://api.example"),
    )  # fmt: skip


def test_an_issuer_to_sign_in_at_needs_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^REEVE_OIDC_CLIENT_ID: .*REEVE_OIDC_ISSUER"):
        load(monkeypatch, OIDC_ISSUER="https://idp.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_LIMIT_URL", "http://user:canary-secret@cache.example:6379"),
        ("TRUSTED_ISSUERS", "{not json"),
        ("TRUSTED_ISSUERS", "{}"),
        ("TRUSTED_ISSUERS", issuer(issuer="http://idp.example")),
        ("TRUSTED_ISSUERS", issuer(issuer="https://user:canary@idp.example")),
        ("TRUSTED_ISSUERS", issuer(issuer="https://idp.example?canary")),
        ("TRUSTED_ISSUERS", issuer(issuer="https://10.0.0.1")),
        ("TRUSTED_ISSUERS", issuer(issuer="https://169.254.169.254")),
        ("TRUSTED_ISSUERS", issuer(algorithms=["none"])),
        ("TRUSTED_ISSUERS", issuer(algorithms=["HS256"])),
        ("TRUSTED_ISSUERS", issuer(algorithms=[])),
        ("TRUSTED_ISSUERS", issuer(audience="")),
        ("TRUSTED_ISSUERS", issuer(role_map={"staff": "No Role"})),
        ("TRUSTED_ISSUERS", issuer(client_secret="canary")),
        ("TRUSTED_ISSUERS", issuer(client_id="reeve")),
        ("TRUSTED_ISSUERS", issuer(introspection_endpoint="https://idp.example/introspect")),
        ("TRUSTED_ISSUERS", issuer(origins=["https://keys.example/path"])),
        ("TRUSTED_ISSUERS", issuer(origins=["http://keys.example"])),
        ("TRUSTED_ISSUERS", issuer(surprise="canary")),
        ("TRUSTED_ISSUERS", json.dumps([*json.loads(issuer()), *json.loads(issuer())])),
        ("OIDC_ISSUER", "http://idp.example"),
        ("OIDC_ROLE_MAP", '{"staff": "No Role"}'),
        ("OIDC_ROLE_MAP", "{not json"),
        ("OIDC_ORIGINS", "https://keys.example/path"),
        ("OIDC_ORIGINS", "http://keys.example"),
        ("EGRESS_ALLOW", "inside"),
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
        ("RATE_LIMIT", "0/minute"),
        ("LOGIN_RATE_LIMIT", "30"),
        ("ENFORCEMENT", "off"),
        ("ENFORCEMENT", "Observe"),
        ("SESSION_TIMEOUT", "0"),
        ("SESSION_ABSOLUTE_TIMEOUT", "0"),
        ("APPROVAL_TIMEOUT", "59"),
        ("APPROVAL_TIMEOUT", "604801"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "everybody"),
        ("BROWSER_ORIGINS", "*"),
        ("BROWSER_ORIGINS", "null"),
        ("BROWSER_ORIGINS", "https://*.example"),
        ("BROWSER_ORIGINS", "https://admin.example/"),
        ("BROWSER_ORIGINS", "https://admin.example:443"),
        ("BROWSER_ORIGINS", "https://Admin.example"),
        ("BROWSER_ORIGINS", "http://admin.example"),
        ("BROWSER_ORIGINS", ",".join(f"https://a{number}.example" for number in range(9))),
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
