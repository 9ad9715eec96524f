"""A real OpenID Provider beside the whole platform: signing in and out there, and its access tokens here."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic

import httpx
import pytest

from tests.demo.administrator import ADMIN, Administrator
from tests.e2e.steps import a_setting, entries, put
from tests.support.eventually import eventually
from tests.support.openid_provider import (
    AUDIENCE,
    CLIENT_ID,
    CLIENT_SECRET,
    OPAQUE,
    OpenIdProvider,
    running_provider,
    sign_in_at,
    sign_out_at,
)
from tests.support.platforms import SECOND_GATEWAY, running_services
from tests.support.postgres import PlatformDatabases
from tests.support.processes import Platform
from tests.support.stem import Stem

ROLES = {"reeve-admins": "admin", "watchers": "viewer"}
OIDC = f"{ADMIN}/auth/oidc"


@dataclass(slots=True)
class Place:
    """The platform with two gateways, and the provider that it trusts."""

    platform: Platform
    provider: OpenIdProvider

    def http(self, gateway: str = "gateway") -> httpx.AsyncClient:
        """A client of one of the gateways."""
        return httpx.AsyncClient(base_url=self.platform.programs[gateway].url, timeout=15)


@pytest.fixture(scope="module")
async def place(
    stem: Stem, platform_databases: PlatformDatabases, rabbitmq: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    """Both, running, and Alice known at the provider."""
    async with running_provider() as provider:
        trusted = {
            "issuer": provider.issuer, "audience": AUDIENCE, "role_map": ROLES, "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }  # fmt: skip
        extra = {
            "REEVE_TRUSTED_ISSUERS": json.dumps([trusted]),
            "REEVE_OIDC_ISSUER": provider.issuer,
            "REEVE_OIDC_CLIENT_ID": CLIENT_ID,
            "REEVE_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "REEVE_OIDC_ROLE_MAP": json.dumps(ROLES),
        }
        async with running_services(
            tmp_path_factory.mktemp("platform"), databases=platform_databases, amqp_url=rabbitmq, launcher=stem,
            gateways=2, extra=extra,
        ) as platform:  # fmt: skip
            await provider.configure(
                accounts={"alice": {"roles": ["watchers"], "email": "alice@idp.example", "email_verified": True}},
                clientRoles=["reeve-admins"],
                client={
                    "redirect_uris": [f"{platform.url}{OIDC}/callback"],
                    "backchannel_logout_uri": f"{platform.url}{OIDC}/backchannel-logout",
                    "backchannel_logout_session_required": True,
                },
            )
            yield Place(platform, provider)


async def sign_in(place: Place, there: httpx.AsyncClient) -> str:
    """Alice's way there and back, by the second gateway out and by the first one in; her access token."""
    async with place.http(SECOND_GATEWAY) as out, place.http() as back_in:
        began = await out.get(f"{OIDC}/login")
        assert began.status_code == 303, began.text
        # The cookie is for TLS, which the jar of this client honours and a browser on loopback does not ask for.
        cookie = began.headers["set-cookie"].partition(";")[0]
        callback = f"{place.platform.url}{OIDC}/callback"
        back = await sign_in_at(there, began.headers["location"], login="alice", until=callback)
        answer = await back_in.get(back, headers={"cookie": cookie})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


async def test_who_signs_out_at_the_provider_is_out_of_every_gateway_within_a_second(place: Place) -> None:
    async with place.provider.browser() as there, place.http() as first, place.http(SECOND_GATEWAY) as second:
        token = await sign_in(place, there)
        headers = {"authorization": f"Bearer {token}"}
        for http in (first, second):
            me = await http.get(f"{ADMIN}/auth/me", headers=headers)
            assert (me.status_code, me.json()["role"]) == (200, "viewer")
        began = monotonic()
        await sign_out_at(there)
        await eventually(lambda: _is_out(first, headers), within_seconds=1.0, every_seconds=0.01)
        await eventually(lambda: _is_out(second, headers), within_seconds=1.0, every_seconds=0.01)
        assert monotonic() - began < 2.0
        admin = await Administrator.sign_in(first, email=place.platform.email, password=place.platform.password)
        (ended,) = await entries(admin, 1, action="end_session")
    assert (ended["actor_type"], ended["details"]["reason"]) == ("system", "ended_by_issuer")


async def _is_out(http: httpx.AsyncClient, headers: dict[str, str]) -> bool:
    return (await http.get(f"{ADMIN}/auth/me", headers=headers)).status_code == 401


@pytest.mark.parametrize("resource", [None, OPAQUE], ids=["signed", "opaque"])
async def test_an_access_token_of_the_provider_is_accepted_wherever_our_own_are(
    place: Place, resource: str | None
) -> None:
    token = await (place.provider.token(resource) if resource else place.provider.token())
    async with place.http() as http:
        robot = Administrator(http, token)
        for path in ("/settings", "/notifications", "/notifications/alerts", "/audit/logs", "/users", "/system/health"):
            assert (await robot.call("GET", path)).status_code == 200, path
        key = await a_setting(robot)
        assert (await put(robot, http, key, 2)).status_code == 200
        (changed,) = await entries(robot, 1, action="update_setting", target_id=key)
        assert changed["admin_username"] == f"{place.provider.issuer}#{CLIENT_ID}"
        assert (await http.get(f"{ADMIN}/settings/{key}", headers=robot.headers)).json()["value"] == 2
