"""A service that is reached without the gateway answers nobody: every route of each, with no assertion or a wrong one."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from libs.common.assertions import HEADER, AssertionMinter
from libs.common.broker.embedded import EmbeddedTransport
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.ids import new_id
from services import single
from services.preparation import make_keys
from tests.support.house import House

OPEN = {"/healthz", "/readyz"}
"""What a supervisor asks: it says whether the service is well, and nothing of anybody."""
SERVICES = ("audit", "settings", "notifications")
ANYBODY = Caller(
    Actor("0199", ActorType.ADMIN, "ada", "super_admin", Level.ADMIN, frozenset({"*"})), Origin(), "correlation"
)


@pytest.fixture
def apps(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, FastAPI]:
    """The services behind the gateway, wired as one process wires them; their tasks do not run."""
    monkeypatch.setenv("REEVE_DATA_DIR", str(tmp_path))
    make_keys(single.SingleConfig.load().keys)
    built = single.build_services(house.database.urls, EmbeddedTransport())
    return {service.name: service.app for service in built}


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Each method and path of an application, with ids for parameters."""
    for context in iter_route_contexts(app.router.routes):
        path = context.path_format or ""
        for method in context.methods or ():
            if path not in OPEN:
                yield method, re.sub(r"\{[^}]+\}", new_id(), path)


@pytest.mark.parametrize("name", SERVICES)
async def test_every_route_wants_the_gateway_s_assertion(apps: Mapping[str, FastAPI], name: str) -> None:
    stranger = AssertionMinter(Ed25519PrivateKey.generate())
    asked = list(routes(apps[name]))
    assert len(asked) >= 5
    transport = httpx.ASGITransport(app=apps[name])
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        for method, target in asked:
            forged = stranger.mint(ANYBODY, audience=name, permission="*", method=method, target=target)
            wrong: list[dict[str, str]] = [
                {}, {HEADER: forged}, {"authorization": f"Bearer {forged}"}, {"x-user-id": "0199"},
            ]  # fmt: skip
            for headers in wrong:
                answer = await http.request(method, target, headers=headers)
                assert answer.status_code == 401, (method, target, headers, answer.text)
