"""Every route of the running gateway asks who calls, before it looks at anything else."""

import re

import pytest

from libs.common.ids import new_id
from services.gateway.features.log.routes import LOG_PREFIX
from tests.support.house import ADMIN, House

PUBLIC = {
    ("post", f"{ADMIN}/auth/activate"), ("post", f"{ADMIN}/auth/password/forgot"),
    ("post", f"{ADMIN}/auth/password/reset"),
    ("post", f"{ADMIN}/auth/login"), ("post", f"{ADMIN}/auth/refresh"), ("post", "/api/v1/oauth/token"),
    ("post", "/api/v1/oauth/introspect"), ("post", "/api/v1/oauth/revoke"), ("get", "/.well-known/jwks.json"),
    ("get", f"{ADMIN}/auth/oidc/login"), ("get", f"{ADMIN}/auth/oidc/callback"),
    ("post", f"{ADMIN}/auth/oidc/backchannel-logout"),
    ("get", "/.well-known/oauth-authorization-server"), ("get", "/api/v1/asyncapi.json"), ("get", "/api/v1/settings/public"),
}  # fmt: skip


@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer made.up.token", "Basic c2hvcDpzZWNyZXQ=", "Bearer a\xe9"]
)
def test_no_route_but_the_public_ones_lets_a_stranger_in(house: House, authorization: str | None) -> None:
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    with house.client(None) as http:
        paths = http.get("/api/v1/openapi.json").json()["paths"]
        operations = {(method, path) for path, found in paths.items() for method in found}
        assert operations >= PUBLIC
        for method, path in sorted(operations - PUBLIC):
            target = re.sub(r"\{\w+\}", new_id(), path)
            answer = http.request(method, target, headers=headers, content=b"{" if method != "get" else None)
            assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer"), (method, path)


def test_a_client_may_publish_and_nothing_else(house: House) -> None:
    with house.client("client") as http:
        paths = http.get("/api/v1/openapi.json").json()["paths"]
        for path, found in paths.items():
            for method in found:
                if (method, path) in PUBLIC or path == "/api/v1/events":
                    continue
                answer = http.request(method, re.sub(r"\{\w+\}", new_id(), path))
                if path.startswith(LOG_PREFIX):
                    # The tiles' own shape of errors: plain text.
                    assert (answer.status_code, answer.headers["content-type"][:10]) == (403, "text/plain"), path
                    continue
                detail = answer.json()["detail"]
                assert (answer.status_code, detail["error"]) == (403, "admin_permission_required"), (method, path)
                assert set(detail) == {"error", "message", "required_permission", "user_permission"}
