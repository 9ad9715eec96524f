"""What is taken away on one gateway is gone on every other within a second, and so are the streams that are open there.

Every token is used on the second gateway first, so that it would be believed there for seconds without the events.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from time import monotonic

import httpx
import pytest

from libs.common.database import outbox
from libs.common.database.engine import Database
from libs.common.events.catalog import Change, new_event
from libs.common.events.users import UserStatusChanged
from libs.common.ids import new_id
from tests.demo.administrator import ADMIN, Administrator
from tests.e2e.steps import a_user, listening
from tests.support.eventually import eventually
from tests.support.platforms import SECOND_GATEWAY
from tests.support.processes import Command, Platform

WITHIN_SECONDS = 1.0


@pytest.fixture
async def elsewhere(platform: Platform, http: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the second gateway."""
    url = platform.programs[SECOND_GATEWAY].url
    async with httpx.AsyncClient(base_url=url, timeout=15, headers={"user-agent": "e2e/2"}) as client:
        yield client


async def answers(http: httpx.AsyncClient, headers: Mapping[str, str], path: str = f"{ADMIN}/auth/me") -> int:
    return (await http.get(path, headers=headers)).status_code


async def gone_within_a_second(
    elsewhere: httpx.AsyncClient,
    headers: Mapping[str, str],
    revoke: Callable[[], Awaitable[httpx.Response | None]],
    *,
    path: str = f"{ADMIN}/auth/me",
    refused: int = 401,
) -> None:
    """The token opens the path on the second gateway until `revoke` is done on the first, and a second later no more."""
    assert await answers(elsewhere, headers, path) == 200
    done = await revoke()
    revoked_at = monotonic()
    assert done is None or done.is_success, done.text

    async def is_refused() -> bool:
        return await answers(elsewhere, headers, path) == refused

    await eventually(is_refused, within_seconds=WITHIN_SECONDS, every_seconds=0.01)
    # Not by a lucky moment: from then on, whatever the caches do.
    while monotonic() < revoked_at + 0.3:
        assert await answers(elsewhere, headers, path) == refused


async def stream_ends_within_a_second(
    elsewhere: httpx.AsyncClient,
    headers: Mapping[str, str],
    revoke: Callable[[], Awaitable[httpx.Response | None]],
) -> None:
    async with listening(elsewhere, headers, "settings") as live:
        done = await revoke()
        assert done is None or done.is_success, done.text
        await eventually(lambda: live.has_ended, within_seconds=WITHIN_SECONDS, every_seconds=0.01)


async def switch_off(platform: Platform, user_id: str) -> None:
    """What the users' feature does when it switches an account off: the row and its event in one transaction."""
    url = platform.programs["gateway"].environment["REEVE_DATABASE_URL"]
    database = Database(url, schema="gateway", application="e2e", pool_size=2)
    try:
        async with database.transaction() as session:
            await session.exec_driver_sql("UPDATE users SET is_active = false WHERE id = $1::uuid", (user_id,))
            data = UserStatusChanged(
                user_id=user_id, is_active=False, changes={"is_active": Change(old=True, new=False)}
            )
            await outbox.emit(session, new_event(data, subject=f"user/{user_id}"))
    finally:
        await database.close()


async def test_signing_out(http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator) -> None:
    one, other = [await a_user(admin, http, "viewer") for _ in range(2)]
    await gone_within_a_second(elsewhere, one.headers, lambda: one.call("POST", "/auth/logout"))
    await stream_ends_within_a_second(elsewhere, other.headers, lambda: other.call("POST", "/auth/logout"))


async def test_a_session_that_somebody_ended(
    http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator
) -> None:
    async def ends(somebody: Administrator) -> httpx.Response:
        return await admin.call("DELETE", f"/users/{(await somebody.get('/auth/me'))['id']}/sessions")

    one, other = [await a_user(admin, http, "viewer") for _ in range(2)]
    await gone_within_a_second(elsewhere, one.headers, lambda: ends(one))
    await stream_ends_within_a_second(elsewhere, other.headers, lambda: ends(other))


async def by_cookie(http: httpx.AsyncClient, email: str, password: str) -> dict[str, str]:
    """What a page of the platform sends once its user is signed in by cookie."""
    page = {"x-reeve-session": "cookie", "sec-fetch-site": "same-origin"}
    answer = await http.post(f"{ADMIN}/auth/login", json={"email": email, "password": password}, headers=page)
    http.cookies.clear()
    return {**page, "cookie": answer.raise_for_status().headers["set-cookie"].partition(";")[0]}


async def test_a_session_by_cookie(http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator) -> None:
    email, password = f"c-{new_id()[-8:]}@example.com", f"Quite-{new_id()}-long"
    body = {"email": email, "name": "C", "role": "viewer", "password": password}
    user_id = (await admin.call("POST", "/users", json=body)).json()["id"]

    async def signed_in() -> dict[str, str]:
        return await by_cookie(http, email, password)

    one = await signed_in()
    await gone_within_a_second(elsewhere, one, lambda: http.post(f"{ADMIN}/auth/logout", headers=one))
    two = await signed_in()
    proof = {"password": password}
    await gone_within_a_second(elsewhere, two, lambda: http.post(f"{ADMIN}/auth/step-up", headers=two, json=proof))
    three = await signed_in()
    await stream_ends_within_a_second(elsewhere, three, lambda: http.post(f"{ADMIN}/auth/logout", headers=three))
    four = await signed_in()
    path = f"/users/{user_id}/role"
    await gone_within_a_second(elsewhere, four, lambda: admin.call("PUT", path, json={"role": "moderator"}))


async def test_an_account_that_was_switched_off(
    platform: Platform, http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator
) -> None:
    async def goes(somebody: Administrator) -> None:
        await switch_off(platform, (await somebody.get("/auth/me"))["id"])

    one, other = [await a_user(admin, http, "viewer") for _ in range(2)]
    await gone_within_a_second(elsewhere, one.headers, lambda: goes(one))
    await stream_ends_within_a_second(elsewhere, other.headers, lambda: goes(other))


async def test_a_role_that_was_changed(
    http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator
) -> None:
    async def becomes(somebody: Administrator) -> httpx.Response:
        path = f"/users/{(await somebody.get('/auth/me'))['id']}/role"
        return await admin.call("PUT", path, json={"role": "moderator"})

    one, other = [await a_user(admin, http, "viewer") for _ in range(2)]
    await gone_within_a_second(elsewhere, one.headers, lambda: becomes(one), path=f"{ADMIN}/settings", refused=403)
    await stream_ends_within_a_second(elsewhere, other.headers, lambda: becomes(other))


async def test_a_password_that_was_changed(
    platform: Platform, http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator
) -> None:
    email, password = f"v-{new_id()[-8:]}@example.com", f"Quite-{new_id()}-long"
    body = {"email": email, "name": "V", "role": "viewer", "password": password}
    assert (await admin.call("POST", "/users", json=body)).is_success
    here, there = [await Administrator.sign_in(http, email=email, password=password) for _ in range(2)]
    change = {"old_password": password, "new_password": f"Other-{new_id()}"}
    await gone_within_a_second(elsewhere, there.headers, lambda: here.call("PUT", "/auth/password", json=change))
    assert await answers(elsewhere, here.headers) == 200


async def test_a_client_that_was_deleted_and_a_token_that_was_taken_back(
    http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator
) -> None:
    body = {"name": "Gone", "scopes": ["users:read"], "source": f"/platform/{new_id()}"}
    made = (await admin.call("POST", "/clients", json=body)).json()
    credentials = (made["client_id"], made["client_secret"])

    async def bearer() -> dict[str, str]:
        form = {"grant_type": "client_credentials"}
        answer = await http.post("/api/v1/oauth/token", data=form, auth=credentials)
        return {"authorization": f"Bearer {answer.json()['access_token']}"}

    one, other = await bearer(), await bearer()
    path = f"{ADMIN}/users"
    token = {"token": one["authorization"].removeprefix("Bearer ")}
    await gone_within_a_second(
        elsewhere, one, lambda: http.post("/api/v1/oauth/revoke", data=token, auth=credentials), path=path
    )
    await gone_within_a_second(elsewhere, other, lambda: admin.call("DELETE", f"/clients/{made['id']}"), path=path)


async def published(http: httpx.AsyncClient) -> list[str]:
    return [key["kid"] for key in (await http.get("/.well-known/jwks.json")).json()["keys"]]


async def rotated(platform: Platform, *options: str) -> str:
    """Rotate the keys as an operator does; the new key's identifier."""
    log = platform.folder / f"rotate-{new_id()[-8:]}.log"
    program = platform.programs["gateway"]
    life = await Command().launch(
        "services.gateway", ["rotate-keys", *options], environment=program.environment, log=log
    )
    await eventually(lambda: life.code() is not None, within_seconds=30)
    assert life.code() == 0, log.read_text()
    said = re.search(r"([A-Za-z0-9_-]{43}) signs from \S+Z on", log.read_text())
    assert said is not None, log.read_text()
    return said[1]


async def test_every_gateway_learns_of_a_new_key_without_a_restart_and_nobody_is_refused(
    platform: Platform, http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator
) -> None:
    kid = await rotated(platform)

    async def all_publish_it() -> bool:
        return all(kid in found for found in await asyncio.gather(published(http), published(elsewhere)))

    await eventually(all_publish_it, within_seconds=WITHIN_SECONDS)
    for gateway in (http, elsewhere):
        assert await answers(gateway, admin.headers) == 200
        assert len(await published(gateway)) >= 2


async def test_keys_that_somebody_may_have_seen(
    platform: Platform, http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator
) -> None:
    signed_in = await http.post(f"{ADMIN}/auth/login", json={"email": platform.email, "password": platform.password})
    headers = {"authorization": f"Bearer {signed_in.json()['access_token']}"}
    async with listening(elsewhere, headers, "settings") as live:

        async def revoke() -> None:
            await rotated(platform, "--revoke")

        await gone_within_a_second(elsewhere, headers, revoke)
        await eventually(lambda: live.has_ended, within_seconds=WITHIN_SECONDS)
    assert len(await published(http)) == 1
    body = {"refresh_token": signed_in.json()["refresh_token"]}
    refreshed = await http.post(f"{ADMIN}/auth/refresh", json=body)
    assert refreshed.status_code == 200
    again = {"authorization": f"Bearer {refreshed.json()['access_token']}"}
    assert [await answers(gateway, again) for gateway in (http, elsewhere)] == [200, 200]
