"""New passwords are held against a list of breaches, wherever one is chosen; a list that is away refuses nobody."""

import time
from collections.abc import AsyncIterator
from hashlib import sha1

import pytest
from prometheus_client import REGISTRY

from libs.common.database.engine import Database
from libs.common.errors import ConfigError
from services.gateway.access.breaches import CALL_SECONDS, MOST_ANSWER_BYTES, BreachListUnavailable, RangeList
from services.gateway.access.issuers.egress import Egress
from services.gateway.access.password_policy import PasswordPolicy
from services.gateway.features.first_admin.commands import ensure_first_admin
from tests.integration.gateway.access.door import PASSWORD, Door
from tests.support.breach_server import PADDING, BreachServer, breach_server

KNOWN = "everybody knows this one"
CHOSEN = "a password of my own choosing"


def digest_of(password: str) -> str:
    return sha1(password.encode()).hexdigest().upper()


def checked(result: str) -> float:
    return REGISTRY.get_sample_value("reeve_breach_list_checks_total", {"list": "server", "result": result}) or 0.0


@pytest.fixture
async def server() -> AsyncIterator[BreachServer]:
    """A list that knows one password."""
    async with breach_server() as running:
        running.known[KNOWN] = 3
        yield running


@pytest.fixture
async def found(server: BreachServer) -> AsyncIterator[RangeList]:
    """The list, as the gateway asks it."""
    egress = Egress(seconds=CALL_SECONDS, most_bytes=MOST_ANSWER_BYTES)
    yield RangeList(f"{server.url}/", egress)
    await egress.close()


async def test_five_digits_are_sent_and_padding_is_asked_for(server: BreachServer, found: RangeList) -> None:
    assert await found.holds(digest_of(KNOWN))
    assert not await found.holds(digest_of(CHOSEN))
    assert server.paths == [f"/range/{digest_of(one)[:5]}" for one in (KNOWN, CHOSEN)]
    assert [one["add-padding"] for one in server.headers] == ["true", "true"]
    assert not any(digest_of(KNOWN)[5:12] in str(one) for one in (server.paths, server.headers))


async def test_padding_is_no_password(server: BreachServer, found: RangeList) -> None:
    for number in (0, PADDING - 1):
        assert not await found.holds(f"ABCDE{number:035X}")
    server.known[CHOSEN] = 0
    assert not await found.holds(digest_of(CHOSEN))


async def test_an_answer_as_large_as_they_come_is_read(server: BreachServer, found: RangeList) -> None:
    server.extra = b"\r\n" + b"".join(b"%035X:12345678\r\n" % number for number in range(10_000, 18_000))
    assert await found.holds(digest_of(KNOWN))


@pytest.mark.parametrize("trouble", ["500", "429", "redirect", "slow", "endless", "gone"])
async def test_a_list_that_does_not_answer_is_unavailable_in_two_seconds(
    server: BreachServer, found: RangeList, trouble: str
) -> None:
    match trouble:
        case "500" | "429":
            server.status = int(trouble)
        case "redirect":
            server.status, server.location = 302, f"{server.url}/elsewhere"
        case "slow":
            server.seconds = 3.0
        case "endless":
            server.extra = b"0" * (MOST_ANSWER_BYTES + 1)
        case _:
            found = RangeList("http://127.0.0.1:1", Egress(seconds=CALL_SECONDS))
    started = time.monotonic()
    with pytest.raises(BreachListUnavailable) as refused:
        await found.holds(digest_of(KNOWN))
    assert time.monotonic() - started < CALL_SECONDS + 0.9
    assert digest_of(KNOWN)[:5] not in str(refused.value)
    assert "/elsewhere" not in server.paths


async def test_what_is_away_refuses_nobody_and_is_counted(server: BreachServer, found: RangeList) -> None:
    policy = PasswordPolicy([found])
    server.status = 503
    before = checked("unavailable")
    await policy.check(KNOWN, email="a@x.example", name="A", member="password")
    assert checked("unavailable") == before + 1
    server.status = 200
    assert await policy.is_breached(KNOWN)


async def test_wherever_a_password_is_chosen_it_is_held_against_the_list(
    door: Door, server: BreachServer, found: RangeList
) -> None:
    admin = await door.token_of("super_admin")
    door.access.password_policy = PasswordPolicy([found])
    new = {"email": "v@example.com", "name": "V", "role": "viewer"}
    made = await door.call("POST", "/users", token=admin, json=new)
    assert made.status_code == 201
    activation = await door.last_token()
    change = {"old_password": PASSWORD, "new_password": KNOWN}
    refused = [
        await door.call("POST", "/users", token=admin, json={**new, "email": "w@example.com", "password": KNOWN}),
        await door.call("POST", "/auth/activate", json={"token": activation, "password": KNOWN}),
        await door.call("PUT", "/auth/password", token=admin, json=change),
    ]
    assert (
        await door.call("POST", "/auth/activate", json={"token": activation, "password": CHOSEN})
    ).status_code == 204
    await door.forget("v@example.com")
    reset = await door.last_token()
    refused.append(await door.call("POST", "/auth/password/reset", json={"token": reset, "password": KNOWN}))
    for answer in refused:
        assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "breached_password"), answer.text
        assert KNOWN not in answer.text
    assert await door.run_sql("SELECT 1 FROM users WHERE email = 'w@example.com'") == []
    again = {"token": reset, "password": "another one of my choosing"}
    assert (await door.call("POST", "/auth/password/reset", json=again)).status_code == 204


async def test_whoever_has_no_link_asks_no_list(door: Door, server: BreachServer, found: RangeList) -> None:
    door.access.password_policy = PasswordPolicy([found])
    answer = await door.call("POST", "/auth/activate", json={"token": "x" * 43, "password": KNOWN})
    assert answer.status_code == 410
    assert server.paths == []


async def test_the_first_administrator_s_password_is_held_against_it_once(
    gateway_database: Database, server: BreachServer, found: RangeList
) -> None:
    policy = PasswordPolicy([found])
    with pytest.raises(ConfigError, match=r"REEVE_ADMIN_PASSWORD: .* breach") as refused:
        await ensure_first_admin(gateway_database, "first@example.com", KNOWN, policy=policy)
    assert KNOWN not in str(refused.value)
    with pytest.raises(ConfigError, match="REEVE_ADMIN_PASSWORD"):
        await ensure_first_admin(gateway_database, "first@example.com", "first@example.com", policy=policy)
    assert await ensure_first_admin(gateway_database, "first@example.com", CHOSEN, policy=policy) is None
    asked = len(server.paths)
    # An account that is there is not looked at again, whatever its password became known for.
    assert await ensure_first_admin(gateway_database, "first@example.com", KNOWN, policy=policy) is None
    assert len(server.paths) == asked
