"""What is fetched from an issuer, how often, and what its answers can do."""

import asyncio
import socket
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.gateway.access.issuers.egress import MOST_ANSWER_BYTES, Egress
from services.gateway.access.issuers.issuer import KEPT_SECONDS, REDISCOVERY_SECONDS, REFETCH_SECONDS, Issuer
from services.gateway.access.issuers.models import IssuerUnavailable
from tests.support.eventually import eventually
from tests.support.foreign_tokens import EC_KEY, RSA_KEY, key_set, public_jwk
from tests.support.issuer_stand import DISCOVERY, IssuerStand, Page


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def issuer(stand: IssuerStand, egress: Egress, clock: Clock | None = None, *origins: str) -> Issuer:
    own = f"http://127.0.0.1:{stand.url.rpartition(':')[2]}"
    return Issuer(stand.url, origins=frozenset((own, *origins)), egress=egress, clock=clock or Clock())


async def test_a_key_is_found_by_one_fetch_of_each_document(stand: IssuerStand, egress: Egress) -> None:
    one = issuer(stand, egress)
    assert await one.key("key-1") is not None
    assert await one.key("key-1") is not None
    assert stand.hits == {DISCOVERY: 1, "/jwks": 1}


async def test_ten_thousand_random_kids_make_one_fetch(stand: IssuerStand, egress: Egress) -> None:
    one = issuer(stand, egress)
    await asyncio.gather(*(one.key(f"random-{number}") for number in range(5000)))
    for number in range(5000, 10_000):
        assert await one.key(f"random-{number}") is None
    assert await one.key("key-1") is not None
    assert stand.hits["/jwks"] == 1


async def test_an_unknown_key_makes_a_fetch_a_minute_later_and_not_before(stand: IssuerStand, egress: Egress) -> None:
    clock = Clock()
    one = issuer(stand, egress, clock)
    await one.key("key-1")
    stand.publish(public_jwk(EC_KEY), public_jwk(RSA_KEY, kid="key-2"))
    clock.now += REFETCH_SECONDS - 1
    assert await one.key("key-2") is None
    clock.now += 1
    assert await one.key("key-2") is not None
    assert stand.hits["/jwks"] == 2


async def test_those_who_come_during_a_fetch_wait_for_it(stand: IssuerStand, egress: Egress) -> None:
    clock = Clock()
    one = issuer(stand, egress, clock)
    await one.key("key-1")
    clock.now += REFETCH_SECONDS
    stand.pages["/jwks"] = Page(key_set(public_jwk(RSA_KEY, kid="key-2")), seconds=0.2)
    found = await asyncio.gather(*(one.key("key-2") for _ in range(50)))
    assert all(key is not None for key in found)
    assert stand.hits["/jwks"] == 2


async def test_a_fetch_that_was_given_up_does_not_count(stand: IssuerStand, egress: Egress) -> None:
    one = issuer(stand, egress)
    stand.pages["/jwks"].seconds = 0.5
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one.key("key-1"), 0.1)
    stand.pages["/jwks"].seconds = 0
    assert await one.key("key-1") is not None


@pytest.mark.parametrize(
    "page",
    [
        Page(status=500), Page(status=404), Page(b"{}"), Page(b"not json"), Page(key_set()), Page(b" " * (MOST_ANSWER_BYTES + 1)),
        Page(key_set(public_jwk(RSA_KEY, kid="a"), public_jwk(EC_KEY, kid="a"))), Page(seconds=30),
        Page(status=302, headers={"Location": "/elsewhere"}), Page(key_set(public_jwk(EC_KEY)), headers={"Content-Encoding": "gzip"}),
        Page(key_set(*(public_jwk(EC_KEY, kid=f"k{number}") for number in range(33)))),
    ],
    ids=["500", "404", "no set", "no json", "empty", "too large", "twice", "slow", "redirect", "compressed", "too many"],
)  # fmt: skip
async def test_the_last_good_keys_stay_for_a_day_whatever_is_published(
    stand: IssuerStand, hurried_egress: Egress, page: Page
) -> None:
    clock = Clock()
    one = issuer(stand, hurried_egress, clock)
    await one.key("key-1")
    stand.pages["/jwks"] = page
    stand.pages["/elsewhere"] = Page(key_set(public_jwk(RSA_KEY, kid="key-2")))
    clock.now += REFETCH_SECONDS
    assert await one.key("key-2") is None
    assert await one.key("key-1") is not None
    clock.now += KEPT_SECONDS - REFETCH_SECONDS - 1
    assert await one.key("key-1") is not None
    clock.now += 2
    with pytest.raises(IssuerUnavailable):
        await one.key("key-1")
    assert stand.hits["/elsewhere"] == 0


async def test_an_issuer_that_calls_itself_otherwise_is_held_back_and_the_log_says_so(
    stand: IssuerStand, egress: Egress
) -> None:
    stand.publish(issuer="https://idp.example")
    with capture_logs() as lines, pytest.raises(IssuerUnavailable):
        await issuer(stand, egress).key("key-1")
    (line,) = [line for line in lines if line["event"] == "issuer held back"]
    assert line["log_level"] == "error"
    assert "calls itself 'https://idp.example'" in line["reason"]
    assert stand.hits["/jwks"] == 0


async def test_one_that_begins_to_call_itself_otherwise_loses_its_keys(stand: IssuerStand, egress: Egress) -> None:
    clock = Clock()
    one = issuer(stand, egress, clock)
    assert await one.key("key-1") is not None
    clock.now += REDISCOVERY_SECONDS - REFETCH_SECONDS
    assert await one.key("key-2") is None
    stand.publish(issuer="https://idp.example")
    clock.now += REFETCH_SECONDS
    with pytest.raises(IssuerUnavailable):
        await one.key("key-2")
    with pytest.raises(IssuerUnavailable):
        await one.key("key-1")


@pytest.mark.parametrize(
    "elsewhere", ["http://169.254.169.254/jwks", "https://evil.example/jwks", "file:///etc/passwd"]
)
async def test_keys_are_fetched_from_the_issuers_origin_alone(
    stand: IssuerStand, egress: Egress, elsewhere: str
) -> None:
    stand.publish(jwks_uri=elsewhere)
    with pytest.raises(IssuerUnavailable):
        await issuer(stand, egress).key("key-1")


async def test_even_an_allowed_origin_is_not_asked_at_a_forbidden_address(stand: IssuerStand, egress: Egress) -> None:
    stand.publish(jwks_uri="http://169.254.169.254/jwks")
    with capture_logs() as lines, pytest.raises(IssuerUnavailable):
        await issuer(stand, egress, None, "http://169.254.169.254:80").key("key-1")
    assert any("only https" in str(line.get("reason")) for line in lines)


async def test_the_document_of_an_oauth_server_is_found_too(stand: IssuerStand, egress: Egress) -> None:
    stand.pages["/.well-known/oauth-authorization-server"] = stand.pages.pop(DISCOVERY)
    assert await issuer(stand, egress).key("key-1") is not None


async def test_proxy_variables_are_not_read(
    stand: IssuerStand, egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await issuer(stand, egress).key("key-1") is not None


async def test_a_name_that_leads_to_loopback_is_not_connected_to(
    stand: IssuerStand, egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(stand.url.rpartition(":")[2])
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **how: found)
    url = f"https://idp.example:{port}"
    one = Issuer(url, origins=frozenset((url,)), egress=egress, clock=Clock())
    with capture_logs() as lines, pytest.raises(IssuerUnavailable):
        await one.key("key-1")
    assert any("REEVE_EGRESS_ALLOW" in str(line.get("reason")) for line in lines), lines
    assert stand.hits == {}


async def test_a_slow_issuer_costs_a_request_no_more_than_the_time_limit(stand: IssuerStand, egress: Egress) -> None:
    stand.pages[DISCOVERY].seconds = 30
    before = time.monotonic()
    with pytest.raises(IssuerUnavailable):
        await issuer(stand, egress).key("key-1")
    assert 2.5 < time.monotonic() - before < 10


async def test_keys_are_refreshed_without_anybody_asking(stand: IssuerStand, egress: Egress) -> None:
    one = Issuer(stand.url, origins=frozenset((stand.url,)), egress=egress, clock=Clock(), refresh_seconds=0.05)
    running = asyncio.ensure_future(one.run())
    try:
        await eventually(lambda: stand.hits["/jwks"])
        stand.publish(public_jwk(RSA_KEY, kid="key-2"))
        await eventually(lambda: _has(one, "key-2"))
        assert await one.key("key-1") is None
    finally:
        running.cancel()


async def _has(one: Issuer, kid: str) -> Any:
    return await one.key(kid)
