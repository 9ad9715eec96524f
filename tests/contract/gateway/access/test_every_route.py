"""Every route of the running platform, for every built-in role, with every kind of token that is none: the whole table.

The bad tokens are made by PyJWT with the gateway's own key from tokens that hold, so that nothing but what they are
named after is wrong with them.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from libs.common.ids import new_id
from services.gateway.access.permissions import holds, level_of, permissions_of
from services.gateway.features.log.routes import LOG_PREFIX
from tests.contract.gateway.test_doors import PUBLIC
from tests.support.house import ADMIN, EMAIL, PASSWORD, House

ROLES = ("super_admin", "admin", "moderator", "viewer")
AT_ONCE = 8
STREAM = f"{ADMIN}/stream"

Remake = Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]
"""Claims and header of a bad token, from the claims of one that holds."""


def expired(claims: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    now = int(time.time())
    return {**claims, "iat": now - 1000, "exp": now - 100}, {"typ": "at+jwt"}


def for_another(claims: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return {**claims, "aud": "another-api"}, {"typ": "at+jwt"}


def id_token(claims: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """OpenID Connect Core, 2: for the client, about who signed in; no word of what they may do."""
    said = {name: claims[name] for name in ("iss", "sub", "iat", "exp", "auth_time")}
    return {**said, "aud": "reeve-console", "nonce": "n-0S6_WzA2Mj", "sid": claims["sid"]}, {"typ": "JWT"}


def id_token_for_us(claims: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """With all that an access token says, and of another type."""
    return claims, {"typ": "JWT"}


BAD: Mapping[str, Remake] = {
    "expired": expired, "another audience": for_another, "ID token": id_token, "ID token for us": id_token_for_us,
}  # fmt: skip


def sign_in(house: House, role: str) -> str:
    """A session of its own, so that ending it disturbs nobody."""
    house.token(role)
    email = EMAIL if role == "super_admin" else f"{role}@example.com"
    with house.client(None) as http:
        answer = http.post(f"{ADMIN}/auth/login", json={"email": email, "password": PASSWORD})
        return str(answer.raise_for_status().json()["access_token"])


def remade(token: str, remake: Remake, keys: Path) -> str:
    key: Any = load_pem_private_key((keys / "tokens.key").read_bytes(), None)
    claims, header = remake(jwt.decode(token, options={"verify_signature": False}))
    return jwt.encode(
        claims, key, algorithm="EdDSA", headers={"kid": jwt.get_unverified_header(token)["kid"], **header}
    )


def routes_of(house: House) -> dict[tuple[str, str], str | None]:
    """Every route that is not public, with the permission that it names."""
    with house.client(None) as http:
        paths = http.get("/api/v1/openapi.json").json()["paths"]
    return {
        (method, path): operation.get("x-required-permission")
        for path, found in paths.items()
        for method, operation in found.items()
        if (method, path) not in PUBLIC
    }


async def ask_all(
    house: House, token: str | None, routes: list[tuple[str, str]]
) -> dict[tuple[str, str], httpx.Response]:
    """Ask every route, a few at once, with a body that nobody can read; the heads alone of the stream."""
    turns = asyncio.Semaphore(AT_ONCE)
    headers = {"authorization": f"Bearer {token}"} if token is not None else {}

    async def ask(http: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
        target = re.sub(r"\{\w+\}", new_id(), path)
        async with turns:
            request = http.build_request(method, target, content=b"{" if method not in ("get", "delete") else None)
            answer = await http.send(request, stream=True)
            if not (path == STREAM and answer.status_code == 200):
                await answer.aread()
            await answer.aclose()
            return answer

    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=30, verify=False) as http:
        return dict(zip(routes, await asyncio.gather(*(ask(http, *route) for route in routes)), strict=True))


@pytest.mark.parametrize("role", ROLES)
async def test_a_token_that_does_not_hold_opens_no_route(house: House, role: str) -> None:
    routes = list(await asyncio.to_thread(routes_of, house))
    assert len(routes) > 80
    token = await asyncio.to_thread(sign_in, house, role)
    bad: dict[str, str | None] = {name: remade(token, remake, house.keys) for name, remake in BAD.items()}
    ended = await asyncio.to_thread(sign_in, house, role)
    async with httpx.AsyncClient(base_url=house.url, verify=False) as http:
        left = await http.post(f"{ADMIN}/auth/logout", headers={"authorization": f"Bearer {ended}"})
        assert left.status_code == 204
        # The same key and the same way make a token that holds: what is wrong with the others is what their names say.
        sound = remade(token, lambda claims: (claims, {"typ": "at+jwt"}), house.keys)
        assert (await http.get(f"{ADMIN}/auth/me", headers={"authorization": f"Bearer {sound}"})).status_code == 200
    for name, one in {**bad, "session ended": ended, "none": None}.items():
        for route, answer in (await ask_all(house, one, routes)).items():
            assert answer.status_code == 401, (name, route, answer.text)
            expected = "Bearer" if one is None else 'Bearer error="invalid_token"'
            assert answer.headers["www-authenticate"] == expected, (name, route)


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_gets_in_where_its_permissions_let_it_and_nowhere_else(house: House, role: str) -> None:
    routes = await asyncio.to_thread(routes_of, house)
    token = await asyncio.to_thread(sign_in, house, role)
    # Not the routes about one's own session: they end it, and count as proofs.
    asked = {route: needed for route, needed in routes.items() if not route[1].startswith(f"{ADMIN}/auth/")}
    for route, answer in (await ask_all(house, token, list(asked))).items():
        needed = asked[route]
        may = needed is None or holds(permissions_of(role), needed)
        assert (answer.status_code != 403) == may, (route, needed, answer.status_code)
        assert answer.status_code not in (401, 500), (route, answer.text)
        if not may and not route[1].startswith(LOG_PREFIX):
            detail = answer.json()["detail"]
            assert (detail["error"], detail["required_permission"], detail["user_permission"]) == (
                "admin_permission_required", needed, level_of(role).value,
            ), route  # fmt: skip
