"""What works once is used once more: at once, six minutes later, after its table was purged, and by a new process.

Minutes pass by moving rows into the past, and in what is signed with a time by signing it with an earlier one: what
judges it sees the difference alone.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pyotp
import pytest
from sqlalchemy import text

from services.gateway.access.issuers.claims import LEEWAY_SECONDS
from services.gateway.access.issuers.id_tokens import MOST_LOGOUT_AGE_SECONDS
from services.gateway.features.auth.store import KEPT_AFTER_EXPIRY, purge_refresh_tokens
from services.gateway.features.links import store as links_store
from services.gateway.features.oidc import store as oidc_store
from services.gateway.features.oidc.models import COOKIE, STATE_SECONDS, resume
from tests.integration.gateway.access.door import PASSWORD, SUPER_ADMIN, Door, open_door
from tests.integration.gateway.access.test_factors import enrol, sign_in
from tests.integration.gateway.access.test_links import activate, expired, may_sign_in, newcomer, reset
from tests.integration.gateway.access.test_oidc_lies import Liar, liar
from tests.integration.gateway.access.test_oidc_sign_in import error_of

__all__ = ["liar"]

AT_ONCE, LATER, PURGED, RESTARTED = "at once", "six minutes later", "after a purge", "after a restart"
MOMENTS = (AT_ONCE, LATER, PURGED, RESTARTED)
SIX_MINUTES = timedelta(minutes=6)
KEY = b"c" * 32
"""Under which the attempts of these tests' provider are sealed."""


@asynccontextmanager
async def at(moment: str, door: Door) -> AsyncIterator[Door]:
    """The gateway of before, or a new process over the same database."""
    if moment != RESTARTED:
        yield door
        return
    provider = door.app.state.oidc
    async with open_door(door.database) as new:
        new.app.state.oidc = provider
        yield new


async def age(door: Door, by: timedelta, **columns: tuple[str, ...]) -> None:
    """Let time pass for some tables' moments."""
    for table, names in columns.items():
        moved = ", ".join(f"{name} = {name} - CAST(:by AS interval)" for name in names)
        async with door.database.transaction() as session:
            await session.execute(text(f"UPDATE {table} SET {moved}"), {"by": by})


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_refresh_token_gives_nothing_a_second_time(door: Door, moment: str) -> None:
    used = (await door.sign_in())["refresh_token"]
    assert (await door.call("POST", "/auth/refresh", json={"refresh_token": used})).status_code == 200
    moved = {"refresh_tokens": ("created_at", "used_at", "expires_at"), "sessions": ("login_at", "last_seen_at")}
    if moment == LATER:
        await age(door, SIX_MINUTES, **moved)
    if moment == PURGED:
        await age(door, timedelta(days=1) + KEPT_AFTER_EXPIRY, refresh_tokens=("expires_at",))
        async with door.database.transaction() as session:
            await purge_refresh_tokens(session)
        assert await door.run_sql("SELECT 1 FROM refresh_tokens") == []
    before = await door.run_sql("SELECT token_hash FROM refresh_tokens ORDER BY 1")
    async with at(moment, door) as now:
        assert (await now.call("POST", "/auth/refresh", json={"refresh_token": used})).status_code == 401
    assert await door.run_sql("SELECT token_hash FROM refresh_tokens ORDER BY 1") == before
    assert len(await door.events("reeve.session.refreshed.v1")) == 1


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", ["activation", "reset"])
async def test_a_link_changes_nothing_a_second_time(door: Door, kind: str, moment: str) -> None:
    use = activate if kind == "activation" else reset
    if kind == "activation":
        await newcomer(door, "ada@example.com")
    else:
        await door.make_user(role="viewer", email="ada@example.com")
        await door.forget("ada@example.com")
    used = await door.last_token()
    assert (await use(door, used)).status_code == 204
    if moment == LATER:
        await age(door, SIX_MINUTES, links=("created_at", "expires_at", "ended_at"))
    if moment == PURGED:
        await age(door, links_store.KEPT + timedelta(days=8), links=("created_at", "expires_at", "ended_at"))
        await door.forget("ada@example.com")
        (left,) = await door.run_sql("SELECT count(*) FROM links")
        assert left[0] == 1, "the used one is gone"
    before = len(await door.events())
    async with at(moment, door) as now:
        assert expired(await use(now, used, "Another-password-7"))
        assert not await may_sign_in(now, "ada@example.com", "Another-password-7")
    changed = [one.type for one in (await door.events())[before:]]
    assert not {"reeve.user.activated.v1", "reeve.user.password_reset.v1"} & set(changed)


@pytest.mark.parametrize("moment", [AT_ONCE, LATER, RESTARTED])
async def test_a_code_lets_nobody_in_a_second_time(door: Door, moment: str) -> None:
    secret, _ = await enrol(door)
    code = pyotp.TOTP(secret).at(time.time() - 360 if moment == LATER else time.time() + 30)
    assert (await sign_in(door, otp=code)).status_code == (401 if moment == LATER else 200)
    started = len(await door.events("reeve.session.started.v1"))
    async with at(moment, door) as now:
        answer = await now.call("POST", "/auth/login", json={"email": SUPER_ADMIN, "password": PASSWORD, "otp": code})
        assert answer.status_code == 401
    assert len(await door.events("reeve.session.started.v1")) == started


async def spend_another(door: Door) -> None:
    """What purges the spent ones that are over."""
    async with door.database.transaction() as session:
        await oidc_store.spend(session, b"a" * 32, expires_at=time.time() + 60)


async def way_back(one: Liar) -> tuple[str, str, httpx.Response]:
    """A sign-in: the address that the provider sent the browser back to, its cookie, and the answer."""
    asked: list[httpx.Request] = []

    async def see(request: httpx.Request) -> None:
        asked.append(request)

    one.http.event_hooks["request"].append(see)
    answer = await one.sign_in()
    one.http.event_hooks["request"].remove(see)
    cookie = next(part for part in asked[-1].headers["cookie"].split("; ") if part.startswith(f"{COOKIE}="))
    return str(asked[-1].url), cookie, answer


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_state_signs_nobody_in_a_second_time(liar: Liar, moment: str) -> None:
    door = liar.door
    address, cookie, answer = await way_back(liar)
    assert answer.status_code == 200
    if moment == LATER:
        await age(door, SIX_MINUTES, spent_tokens=("expires_at",))
        await spend_another(door)
    if moment == PURGED:
        # Forgotten only when it has been over for as long again, by the time that is sealed in the cookie.
        await age(door, timedelta(seconds=2 * STATE_SECONDS - 1), spent_tokens=("expires_at",))
        await spend_another(door)
        assert len(await door.run_sql("SELECT 1 FROM spent_tokens")) == 2
        state, secret = httpx.URL(address).params["state"], cookie.partition("=")[2]
        assert resume(KEY, secret, state, now=time.time()) is not None
        assert resume(KEY, secret, state, now=time.time() + STATE_SECONDS + 1) is None
    async with at(moment, door) as now:
        again = await now.client.get(address, headers={"cookie": cookie})
    assert error_of(again) == (400, "invalid_state")
    assert len(await door.events("reeve.session.started.v1")) == 1


async def test_an_id_token_with_the_nonce_of_an_earlier_sign_in_lets_nobody_in(liar: Liar) -> None:
    begun = (await liar.http.get("https://reeve.test/api/v1/admin/auth/oidc/login")).headers["location"]
    old = httpx.URL(begun).params["nonce"]
    assert error_of(await liar.sign_in(nonce=old)) == (401, "sign_in_refused")
    assert await liar.door.events("reeve.session.started.v1") == []


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_logout_token_ends_nothing_a_second_time(liar: Liar, moment: str) -> None:
    door = liar.door
    said: dict[str, Any] = {"iat": int(time.time()) - 30, "exp": int(time.time()) + 3600}
    await liar.sign_in()
    assert (await liar.log_out(**said)).status_code == 200
    if moment == LATER:
        # The same token as it looks six minutes on: nobody remembers it then, and nobody needs to.
        await age(door, SIX_MINUTES, spent_tokens=("expires_at",))
        await spend_another(door)
        said = {name: at - 360 for name, at in said.items()}
    if moment == PURGED:
        most = MOST_LOGOUT_AGE_SECONDS + 2 * LEEWAY_SECONDS
        await age(door, timedelta(seconds=most), spent_tokens=("expires_at",))
        await spend_another(door)
        (left,) = await door.run_sql("SELECT count(*) FROM spent_tokens WHERE expires_at < now()")
        assert left[0] == 0
        said = {name: at - most for name, at in said.items()}
    again = (await liar.sign_in()).json()["access_token"]
    async with at(moment, door) as now:
        repeated = Liar(now, liar.stand)
        assert error_of(await repeated.log_out(**said)) == (400, "invalid_request")
        assert await repeated.is_in(again)
        await repeated.http.aclose()
    assert len(await door.events("reeve.session.ended.v1")) == 1
