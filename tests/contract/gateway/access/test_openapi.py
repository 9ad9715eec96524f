"""What the description of these routes promises to callers."""

from typing import Any

import pytest

from libs.common.web.app import create_app
from services.gateway.features.access_requests.routes import router as access_router
from services.gateway.features.approvals.routes import router as approvals_router
from services.gateway.features.auth.routes import router as auth_router
from services.gateway.features.clients.routes import router as clients_router
from services.gateway.features.lifecycle.routes import router as lifecycle_router
from services.gateway.features.oauth.routes import router as oauth_router
from services.gateway.features.oidc.routes import router as oidc_router
from services.gateway.features.passwords.routes import router as passwords_router
from services.gateway.features.passwords.routes import users_router as activation_router
from services.gateway.features.roles.routes import router as roles_router
from services.gateway.features.sessions.routes import router as sessions_router
from services.gateway.features.user_bulk.routes import router as user_bulk_router
from services.gateway.features.users.routes import router as users_router

ADMIN = "/api/v1/admin"
PUBLIC = {
    ("post", f"{ADMIN}/auth/activate"), ("post", f"{ADMIN}/auth/password/forgot"),
    ("post", f"{ADMIN}/auth/password/reset"),
    ("post", f"{ADMIN}/auth/login"), ("post", f"{ADMIN}/auth/refresh"), ("post", "/api/v1/oauth/token"),
    ("post", "/api/v1/oauth/introspect"), ("post", "/api/v1/oauth/revoke"),
    ("get", f"{ADMIN}/auth/oidc/login"), ("get", f"{ADMIN}/auth/oidc/callback"),
    ("post", f"{ADMIN}/auth/oidc/backchannel-logout"),
}  # fmt: skip
PATHS = {
    f"{ADMIN}/auth/login": {"post"},
    f"{ADMIN}/auth/refresh": {"post"},
    f"{ADMIN}/auth/logout": {"post"},
    f"{ADMIN}/auth/password": {"put"},
    f"{ADMIN}/auth/step-up": {"post"},
    f"{ADMIN}/auth/activate": {"post"},
    f"{ADMIN}/auth/password/forgot": {"post"},
    f"{ADMIN}/auth/password/reset": {"post"},
    f"{ADMIN}/users/{{user_id}}/activation-link": {"post"},
    f"{ADMIN}/auth/me": {"get"},
    f"{ADMIN}/auth/oidc/login": {"get"},
    f"{ADMIN}/auth/oidc/callback": {"get"},
    f"{ADMIN}/auth/oidc/backchannel-logout": {"post"},
    f"{ADMIN}/users": {"get", "post"},
    f"{ADMIN}/users/bulk": {"post"},
    f"{ADMIN}/users/{{user_id}}": {"get", "patch", "delete"},
    f"{ADMIN}/users/{{user_id}}/role": {"put"},
    f"{ADMIN}/users/{{user_id}}/sessions": {"get", "delete"},
    f"{ADMIN}/sessions": {"get"},
    f"{ADMIN}/sessions/{{session_id}}": {"delete"},
    f"{ADMIN}/users/{{user_id}}/status": {"put"},
    f"{ADMIN}/clients": {"get", "post"},
    f"{ADMIN}/clients/{{id}}": {"get", "delete"},
    f"{ADMIN}/roles": {"get"},
    f"{ADMIN}/roles/{{name}}": {"get", "put", "delete"},
    f"{ADMIN}/access/explain": {"get"},
    f"{ADMIN}/access/requests": {"get", "post"},
    f"{ADMIN}/access/requests/{{id}}": {"get", "delete"},
    f"{ADMIN}/access/requests/{{id}}/approve": {"post"},
    f"{ADMIN}/access/requests/{{id}}/reject": {"post"},
    f"{ADMIN}/approvals": {"get"},
    f"{ADMIN}/approvals/{{id}}": {"get", "delete"},
    f"{ADMIN}/approvals/{{id}}/approve": {"post"},
    f"{ADMIN}/approvals/{{id}}/reject": {"post"},
    "/api/v1/oauth/token": {"post"},
    "/api/v1/oauth/introspect": {"post"},
    "/api/v1/oauth/revoke": {"post"},
}


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    app = create_app(service="gateway", title="Reeve", version="0", checks={}, openapi_url="/openapi.json")
    for router in (
        auth_router, oidc_router, users_router, user_bulk_router, lifecycle_router, sessions_router, clients_router,
        roles_router, access_router, approvals_router, passwords_router, activation_router,
    ):  # fmt: skip
        app.include_router(router, prefix=ADMIN)
    app.include_router(oauth_router, prefix="/api/v1")
    return app.openapi()


def test_these_paths_and_methods_are_there(description: dict[str, Any]) -> None:
    assert {path: set(one) for path, one in description["paths"].items() if path.startswith("/api")} == PATHS


@pytest.mark.parametrize(
    ("path", "method"), [(path, method) for path, methods in PATHS.items() for method in sorted(methods)]
)
def test_each_operation_is_described_and_says_who_may_call_it(
    description: dict[str, Any], path: str, method: str
) -> None:
    operation = description["paths"][path][method]
    assert operation["description"]
    assert operation["tags"]
    assert operation.get("security", []) == ([] if (method, path) in PUBLIC else [{"bearer": []}, {"cookie": []}])
    assert "default" in operation["responses"]


def test_the_scheme_is_a_bearer_jwt(description: dict[str, Any]) -> None:
    scheme = description["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")


def test_the_other_scheme_is_the_cookie_of_a_browser(description: dict[str, Any]) -> None:
    scheme = description["components"]["securitySchemes"]["cookie"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "cookie", "__Host-reeve-session")
    (mark,) = description["paths"][f"{ADMIN}/auth/login"]["post"]["parameters"]
    assert (mark["in"], mark["name"], mark["required"]) == ("header", "X-Reeve-Session", False)


def test_requests_take_no_members_beyond_theirs(description: dict[str, Any]) -> None:
    requests = {name: one for name, one in description["components"]["schemas"].items() if name.endswith("Request")}
    assert set(requests) == {
        "SignInRequest", "RefreshRequest", "ChangePasswordRequest", "StepUpRequest", "CreateUserRequest",
        "UpdateUserRequest", "ChangeRoleRequest", "ChangeStatusRequest", "PutRoleRequest", "RegisterClientRequest",
        "AskForAccessRequest", "BulkUsersRequest", "ApproveAccessRequest", "RejectAccessRequest",
        "ChoosePasswordRequest", "ForgotPasswordRequest", "RejectChangeRequest",
    }  # fmt: skip
    assert all(one["additionalProperties"] is False for one in requests.values())


def test_no_answer_has_a_password_and_only_a_registration_has_a_secret(description: dict[str, Any]) -> None:
    answers = {
        name: one["properties"]
        for name, one in description["components"]["schemas"].items()
        if name.endswith("Response")
    }
    assert not any("password" in member for members in answers.values() for member in members)
    assert [name for name, members in answers.items() if "client_secret" in members] == ["RegisteredClientResponse"]
