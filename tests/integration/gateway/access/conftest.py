"""The gateway's access control on a real Postgres, called in-process, and the issuers around it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from libs.common.database.engine import Database
from services.gateway.access.issuers.egress import Egress
from tests.integration.gateway.access.door import Door, open_door
from tests.integration.gateway.access.quorum import Quorum, open_quorum
from tests.support.issuer_stand import IssuerStand, issuer_stand
from tests.support.openid_provider import OpenIdProvider, running_provider


@pytest.fixture
async def gateway_database(database_for: Callable[..., Awaitable[Database]]) -> Database:
    """A fresh gateway schema."""
    return await database_for("gateway")


@pytest.fixture
async def door(gateway_database: Database) -> AsyncIterator[Door]:
    """The routes of accounts, sessions, clients and roles, with a first super admin and generous limits."""
    async with open_door(gateway_database) as opened:
        yield opened


@pytest.fixture
async def quorum(door: Door) -> Quorum:
    """Two super admins and an admin."""
    return await open_quorum(door)


@pytest.fixture
async def stand() -> AsyncIterator[IssuerStand]:
    """An issuer that may lie."""
    async with issuer_stand() as one:
        yield one


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    """Calls to issuers."""
    one = Egress()
    yield one
    await one.close()


@pytest.fixture
async def hurried_egress() -> AsyncIterator[Egress]:
    """Calls to issuers that are given up after a second, in place of three."""
    one = Egress(seconds=1.0)
    yield one
    await one.close()


@pytest.fixture(scope="session")
async def shared_provider() -> AsyncIterator[OpenIdProvider]:
    """One process of a real OpenID Provider for many tests."""
    async with running_provider() as provider:
        yield provider


@pytest.fixture
async def provider(shared_provider: OpenIdProvider) -> OpenIdProvider:
    """The shared provider with its client's role as usual."""
    await shared_provider.configure(clientRoles=["reeve-admins"], accounts={}, client={}, claimsInIdToken=False)
    return shared_provider
