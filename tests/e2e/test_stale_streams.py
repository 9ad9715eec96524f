"""Streams of whoever may no longer listen, with the bus there and with it gone; and credentials that stand in an address."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest

from libs.common.ids import new_id
from services.gateway.stream.hub import MOST_STREAMS
from tests.demo.administrator import ADMIN, Administrator
from tests.e2e.steps import a_user, entries, listening
from tests.support.eventually import eventually
from tests.support.platforms import SECOND_GATEWAY
from tests.support.processes import Platform
from tests.support.tcp_proxy import TcpProxy

STREAM = f"{ADMIN}/stream"
WITHOUT_THE_EVENT_SECONDS = 15.0
WITH_IT_SECONDS = 1.0
IN_AN_ADDRESS = (
    "access_token",
    "token",
    "ticket",
    "authorization",
    "bearer",
    "link",
    "session",
    "__Host-reeve-session",
)


@dataclass(slots=True)
class Site:
    """Two gateways whose way to the broker can be cut, a client of each, and the first super admin."""

    platform: Platform
    proxy: TcpProxy
    here: httpx.AsyncClient
    there: httpx.AsyncClient
    admin: Administrator

    async def demote(self, somebody: Administrator) -> None:
        """Take the right to read settings from a viewer, on the first gateway."""
        path = f"/users/{(await somebody.get('/auth/me'))['id']}/role"
        answer = await self.admin.call("PUT", path, json={"role": "moderator"})
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
async def site(cuttable: tuple[Platform, TcpProxy]) -> AsyncIterator[Site]:
    """The platform whose broker can be cut off, with its first super admin."""
    running, proxy = cuttable
    async with (
        httpx.AsyncClient(base_url=running.url, timeout=15) as here,
        httpx.AsyncClient(base_url=running.programs[SECOND_GATEWAY].url, timeout=15) as there,
    ):
        admin = await Administrator.sign_in(here, email=running.email, password=running.password)
        yield Site(running, proxy, here, there, admin)


async def test_a_revoked_role_ends_the_streams_within_a_second_of_its_event(site: Site) -> None:
    somebody = await a_user(site.admin, site.here, "viewer")
    async with (
        listening(site.here, somebody.headers, "settings") as here,
        listening(site.there, somebody.headers, "settings") as there,
    ):
        await site.demote(somebody)
        await eventually(lambda: here.has_ended and there.has_ended, within_seconds=WITH_IT_SECONDS, every_seconds=0.01)


async def test_a_revoked_role_ends_the_streams_in_fifteen_seconds_when_its_event_never_comes(site: Site) -> None:
    somebody = await a_user(site.admin, site.here, "viewer")
    async with (
        listening(site.here, somebody.headers, "settings") as here,
        listening(site.there, somebody.headers, "settings") as there,
    ):
        await site.proxy.refuse()
        try:
            # Both gateways know them well, and the second one hears of nothing.
            assert (await site.there.get(f"{ADMIN}/settings", headers=somebody.headers)).status_code == 200
            await site.demote(somebody)
            async with asyncio.timeout(WITHOUT_THE_EVENT_SECONDS):
                await eventually(lambda: here.has_ended and there.has_ended, within_seconds=60)
            assert (await site.there.get(f"{ADMIN}/settings", headers=somebody.headers)).status_code == 403
        finally:
            await site.proxy.start()


async def test_one_administrator_has_five_streams_and_another_place_when_one_ends(site: Site) -> None:
    somebody, other = [await a_user(site.admin, site.there, "viewer") for _ in range(2)]
    async with AsyncExitStack() as opened:
        for _ in range(MOST_STREAMS - 1):
            await opened.enter_async_context(listening(site.there, somebody.headers, "settings"))
        async with listening(site.there, somebody.headers, "settings"):
            refused = await site.there.get(STREAM, headers=somebody.headers)
            assert (refused.status_code, refused.json()["detail"]["error"]) == (429, "too_many_streams")
            assert int(refused.headers["retry-after"]) > 0
            async with listening(site.there, other.headers, "settings"):
                pass

        async def has_room() -> bool:
            async with site.there.stream("GET", STREAM, headers=somebody.headers) as answer:
                return answer.status_code == 200

        await eventually(has_room)


async def test_no_credential_counts_in_an_address_and_none_is_logged(site: Site) -> None:
    somebody = await a_user(site.admin, site.here, "viewer")
    token = somebody.headers["authorization"].removeprefix("Bearer ")
    request_id, ticket = new_id(), f"ticket-{new_id()}"
    for name in IN_AN_ADDRESS:
        for value in (token, f"Bearer {token}", ticket):
            answer = await site.here.get(STREAM, params={name: value}, headers={"x-request-id": request_id})
            assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "not_authenticated"), name
            beside = await site.here.get(f"{ADMIN}/settings", params={name: value}, headers={"x-request-id": new_id()})
            assert beside.status_code == 401, name
    # Nor beside the token where it belongs: no route takes what it does not know.
    assert (await site.here.get(STREAM, headers=somebody.headers, params={"ticket": ticket})).status_code == 422
    asked = await entries(site.admin, 3 * len(IN_AN_ADDRESS), request_id=request_id)
    assert {one["action"] for one in asked} == {"open_stream"}
    written = [file.read_text() for file in site.platform.folder.glob("*.log")]
    assert len(written) == len(site.platform.programs)
    for text in (*written, str(asked)):
        assert token not in text
        assert ticket not in text
