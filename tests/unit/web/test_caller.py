"""A service answers the gateway's assertions and nothing else."""

from typing import Annotated, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, FastAPI

from libs.common.assertions import AssertionMinter, AssertionVerifier
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.web.app import create_app
from libs.common.web.caller import asserted
from tests.unit.web.browser import ask

KEY = Ed25519PrivateKey.generate()
CALLER = Caller(
    Actor("0199", ActorType.ADMIN, "ada@example.com", "admin", Level.ADMIN, frozenset({"*"}), session_id="s1"),
    Origin(username="ada@example.com", ip_address="203.0.113.9", request_id="request-1"),
    "request-1",
)
TARGET = "/internal/settings?limit=5&q=a%20b"


def settings_service(key: Ed25519PrivateKey = KEY) -> FastAPI:
    """A service with one asserted route."""
    verifier = AssertionVerifier(key.public_key(), "settings")
    app = create_app(service="settings", title="Settings", version="1", checks={}, assertions=verifier)

    @app.get("/internal/settings")
    async def list_settings(
        caller: Annotated[Caller, Depends(asserted("settings:read", audience="settings"))], limit: int, q: str
    ) -> dict[str, Any]:
        return {
            "id": caller.actor.id, "may": sorted(caller.actor.permissions), "level": caller.actor.level,
            "from": caller.origin.ip_address, "request": caller.origin.request_id, "chain": caller.correlation_id,
        }  # fmt: skip

    return app


def header(target: str = TARGET, *, audience: str = "settings", permission: str = "settings:read") -> tuple[str, str]:
    """An assertion as the gateway sends it."""
    minter = AssertionMinter(KEY)
    token = minter.mint(CALLER, audience=audience, permission=permission, method="GET", target=target)
    return ("Reeve-Assertion", token)


async def test_a_good_assertion_tells_who_acts_in_which_request() -> None:
    answer = await ask(settings_service(), "GET", TARGET, headers=[header(), ("X-Request-ID", "request-1")])
    assert answer.json == {
        "id": "0199", "may": ["settings:read"], "level": "admin",
        "from": "203.0.113.9", "request": "request-1", "chain": "request-1",
    }  # fmt: skip


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", header()[1])],
        [("Reeve-Assertion", "")],
        [("Reeve-Assertion", "garbage")],
        [header("/internal/settings?limit=50&q=a%20b")],
        [header("/internal/settings?q=a%20b&limit=5")],
        [header(audience="audit")],
        [header(permission="settings:write")],
        [header(), header()],
    ],
    ids=[
        "none",
        "wrong header",
        "empty",
        "garbage",
        "other query",
        "other order",
        "other audience",
        "other right",
        "two",
    ],
)
async def test_anything_else_is_401(headers: list[tuple[str, str]]) -> None:
    answer = await ask(settings_service(), "GET", TARGET, headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_an_assertion_by_another_key_is_401() -> None:
    answer = await ask(settings_service(Ed25519PrivateKey.generate()), "GET", TARGET, headers=[header()])
    assert (answer.status, answer.error) == (401, "invalid_assertion")


@pytest.mark.parametrize("target", ["/internal/settings", "/internal/settings?limit=x", "/internal/settings?unknown=1"])
async def test_the_caller_is_checked_before_anything_of_the_request(target: str) -> None:
    assert (await ask(settings_service(), "GET", target)).status == 401


async def test_a_service_without_a_verifier_lets_nobody_in() -> None:
    app = create_app(service="settings", title="Settings", version="1", checks={})

    @app.get("/internal/settings")
    async def read(_caller: Annotated[Caller, Depends(asserted("settings:read", audience="settings"))]) -> None:
        raise AssertionError("nobody may come this far")

    assert (await ask(app, "GET", "/internal/settings", headers=[header("/internal/settings")])).status == 500
