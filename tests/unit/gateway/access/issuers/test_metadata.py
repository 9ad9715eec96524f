"""An issuer's document counts when it speaks for that issuer and leads nowhere else."""

import json
from typing import Any

import pytest

from services.gateway.access.issuers.metadata import BadMetadata, discovery_urls, read_metadata
from services.gateway.access.issuers.models import TrustedIssuer, origin_of

ISSUER = "https://idp.example/realms/staff"
ORIGINS = TrustedIssuer(issuer=ISSUER, audience="a", origins=("https://keys.example",)).allowed_origins


def document(**changes: Any) -> bytes:
    said = {
        "issuer": ISSUER, "jwks_uri": "https://idp.example/jwks", "authorization_endpoint": "https://idp.example/auth",
        "token_endpoint": "https://idp.example/token",
    }  # fmt: skip
    return json.dumps({name: value for name, value in {**said, **changes}.items() if value is not None}).encode()


@pytest.mark.parametrize(
    ("issuer", "first", "second"),
    [
        ("https://a.example", "https://a.example/.well-known/openid-configuration",
         "https://a.example/.well-known/oauth-authorization-server"),
        ("https://a.example/", "https://a.example/.well-known/openid-configuration",
         "https://a.example/.well-known/oauth-authorization-server"),
        (ISSUER, "https://idp.example/realms/staff/.well-known/openid-configuration",
         "https://idp.example/.well-known/oauth-authorization-server/realms/staff"),
        ("https://a.example:8443/x/", "https://a.example:8443/x/.well-known/openid-configuration",
         "https://a.example:8443/.well-known/oauth-authorization-server/x"),
    ],
)  # fmt: skip
def test_the_document_is_where_the_standards_put_it(issuer: str, first: str, second: str) -> None:
    assert discovery_urls(issuer) == (first, second)


def test_a_document_of_the_issuer_is_taken() -> None:
    found = read_metadata(document(), issuer=ISSUER, origins=ORIGINS)
    assert (found.jwks_uri, found.token_endpoint_auth_methods_supported) == (
        "https://idp.example/jwks", ["client_secret_basic"],
    )  # fmt: skip


def test_an_endpoint_may_be_at_an_origin_that_was_named() -> None:
    read_metadata(document(jwks_uri="https://keys.example/v1/jwks"), issuer=ISSUER, origins=ORIGINS)


@pytest.mark.parametrize(
    "issuer", [ISSUER + "/", "https://idp.example", "https://IDP.example/realms/staff", "http://idp.example/realms/staff", ""]
)  # fmt: skip
def test_a_document_of_another_issuer_is_refused_and_says_so(issuer: str) -> None:
    with pytest.raises(BadMetadata, match=r"configured as https://idp\.example/realms/staff and calls itself"):
        read_metadata(document(issuer=issuer), issuer=ISSUER, origins=ORIGINS)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/jwks", "http://idp.example/jwks", "https://idp.example:444/jwks", "https://idp.example@evil.example/",
        "file:///etc/passwd", "//idp.example/jwks", "https://keys.example.evil/", "http://169.254.169.254/", "https://[x/", "",
        "https://idp.example:99999999/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["jwks_uri", "token_endpoint", "userinfo_endpoint", "introspection_endpoint"])
def test_an_endpoint_elsewhere_is_refused(name: str, url: str) -> None:
    with pytest.raises(BadMetadata, match=name):
        read_metadata(document(**{name: url}), issuer=ISSUER, origins=ORIGINS)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"not json", b"\xff", document(jwks_uri=None), document(issuer=None), document(jwks_uri=7),
     document(jwks_uri="https://idp.example/" + "x" * 3000), document(token_endpoint_auth_methods_supported="basic")],
)  # fmt: skip
def test_what_is_no_such_document_is_refused(body: bytes) -> None:
    with pytest.raises(BadMetadata):
        read_metadata(body, issuer=ISSUER, origins=ORIGINS)


@pytest.mark.parametrize(
    ("url", "origin"),
    [("https://A.example/x", "https://a.example:443"), ("https://a.example:443", "https://a.example:443"),
     ("http://a.example:8080/", "http://a.example:8080"), ("http://a.example", "http://a.example:80")],
)  # fmt: skip
def test_an_origin_has_its_port_written_out(url: str, origin: str) -> None:
    assert origin_of(url) == origin
