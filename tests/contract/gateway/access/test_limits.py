"""Whoever is over a limit stays over it, however the request is dressed: the shapes that limits elsewhere were passed by.

The platform stands behind a proxy at 127.0.0.1, which is this test; from 127.0.0.2 comes somebody whom nobody vouches for.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from libs.common.ids import new_id
from tests.contract.conftest import SERVICES
from tests.support.house import ADMIN, PASSWORD, House, open_house
from tests.support.postgres import PlatformDatabases

RATE = "25/day"
LOGIN_RATE = "6/day"
"""Guesses are slow."""
ME = f"{ADMIN}/auth/me"
LOGIN = f"{ADMIN}/auth/login"
JSON = ("Content-Type", "application/json")
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
CLAIMS = (
    "X-Forwarded-For", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "X-Originating-IP",
    "X-Remote-Addr", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-User-ID", "X-Forwarded-User",
)  # fmt: skip
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Shape:
    """A way to ask once more."""

    method: str = "GET"
    path: str = ME
    headers: Headers = ()
    body: bytes | None = None


# Each of these is a request to a route.
REACHING = [
    Shape(),
    Shape(path=f"{ADMIN}/settings"),
    Shape(path=f"{ADMIN}/users?limit=1"),
    Shape(path=f"{ME}?"),
    Shape(path=f"{ME}?again=1"),
    Shape(path=f"{ME}?_method=DELETE"),
    Shape(path=f"{ME}#fragment"),
    Shape(path=f"{ADMIN}/auth/%6de"),
    Shape(path=f"{ADMIN}/%61uth/me"),
    Shape(path="/api/v1/%61dmin/auth/me"),
    Shape(path="/%61%70%69/v1/admin/auth/me"),
    *(Shape(headers=[(name, "DELETE")]) for name in OVERRIDES),
    *(Shape("POST", f"{ADMIN}/settings", [(name, "GET"), JSON], b"{}") for name in OVERRIDES),
    *(Shape(headers=[(name, "198.51.100.77")]) for name in CLAIMS),
    Shape(headers=[("X-Forwarded-For", "198.51.100.78"), ("X-Forwarded-For", "198.51.100.79")]),
    Shape(headers=[("X-Forwarded-For", "198.51.100.80, 198.51.100.81")]),
    Shape(headers=[("X-Forwarded-For", "2001:db8::77")]),
    Shape(headers=[("Forwarded", "for=198.51.100.82;proto=https")]),
    Shape(headers=[("X-Original-URL", "/healthz")]),
    Shape(headers=[("X-Rewrite-URL", "/healthz")]),
    Shape(headers=[("User-Agent", "another/1")]),
    Shape(headers=[("Accept", "application/problem+json")]),
    Shape(headers=[("X-Request-ID", "another")]),
    Shape(headers=[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]),
    Shape("PUT", f"{ADMIN}/settings/theme", [JSON], b"{not json"),
    Shape("PUT", f"{ADMIN}/settings/theme", [("Content-Type", "text/plain")], b"x" * 100_000),
    Shape("POST", f"{ADMIN}/settings", [("Idempotency-Key", '"another"'), JSON], b"{}"),
]
# These are at most what a route's path resembles.
RESEMBLING = [
    Shape(path=f"{ME}/"),
    Shape(path=f"/{ME}"),
    Shape(path=f"{ADMIN}//auth/me"),
    Shape(path=f"{ADMIN}/AUTH/me"),
    Shape(path=f"{ADMIN}/Auth/Me"),
    Shape(path="/API/v1/admin/auth/me"),
    Shape(path=f"{ADMIN}/auth/./me"),
    Shape(path=f"{ADMIN}/auth/x/../me"),
    Shape(path=f"{ADMIN}/auth/%2e%2e/auth/me"),
    Shape(path=f"{ADMIN}/auth%2fme"),
    Shape(path=f"{ADMIN}/auth\\me"),
    Shape(path=f"{ME};x=1"),
    Shape(path=f"{ME}.json"),
    Shape(path=f"{ME}%20"),
    Shape(path=f"{ME}%00"),
    Shape(path=f"{ME}%0a"),
    Shape(path=f"{ADMIN}/auth/%256de"),
    Shape("HEAD"),
    Shape("OPTIONS"),
    Shape("TRACE"),
    Shape("get"),
    Shape("FOO"),
]
# What the proxy at 127.0.0.1 appends is on the right; all of it lies in 198.51.100.0/24.
BESIDE = [
    "198.51.100.7",
    "198.51.100.8",
    "198.51.100.255",
    " 198.51.100.7 ",
    "\t198.51.100.7",
    "6.6.6.6, 198.51.100.7",
    "6.6.6.7,198.51.100.7",
    "127.0.0.1, 198.51.100.7",
    "198.51.100.7, 127.0.0.1",
    "6.6.6.6, 198.51.100.7, 127.0.0.1",
    "::ffff:198.51.100.7",
    "::ffff:c633:6407",
    "nonsense, 198.51.100.7",
    ", 198.51.100.7",
    "6.6.6.8, " * 60 + "198.51.100.7",
]
IN_ONE_56 = [
    "2001:db8:7:100::1",
    "2001:DB8:7:100::1",
    "2001:db8:7:1ff:ffff:ffff:ffff:ffff",
    "2001:0db8:0007:0180:0000:0000:0000:0001",
    "6.6.6.6, 2001:db8:7:123::9",
]


@pytest.fixture(scope="module")
async def tight(
    platform_databases: PlatformDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A platform with few requests for each caller and each address prefix."""
    database = await platform_databases.make(*SERVICES)
    folder: Path = tmp_path_factory.mktemp("tight")
    opened = await asyncio.to_thread(
        open_house, database, folder, REEVE_RATE_LIMIT=RATE, REEVE_LOGIN_RATE_LIMIT=LOGIN_RATE,
        REEVE_TRUSTED_PROXIES="127.0.0.1/32",
    )  # fmt: skip
    yield opened
    await asyncio.to_thread(opened.stop)
    await platform_databases.give_back(database)


@pytest.fixture(scope="module")
def spent(tight: House) -> list[str]:
    """Tokens of a viewer who has nothing left: of one session, of another, and one that was renewed."""
    email = f"u{new_id()}@example.com"
    with tight.client() as first:
        body = {"email": email, "name": "Somebody", "role": "viewer", "password": PASSWORD}
        first.post(f"{ADMIN}/users", json=body).raise_for_status()
    with tight.client(None) as http:
        one, another = (
            http.post(LOGIN, json={"email": email, "password": PASSWORD}).raise_for_status().json() for _ in range(2)
        )
        renewed = http.post(f"{ADMIN}/auth/refresh", json={"refresh_token": another["refresh_token"]})
    tokens = [one["access_token"], another["access_token"], renewed.raise_for_status().json()["access_token"]]
    statuses = [ask(tight, Shape(headers=bearer(tokens[0])))[0] for _ in range(30)]
    assert statuses == [200] * 25 + [429] * 5
    return tokens


def bearer(token: str) -> Headers:
    return [("Authorization", f"Bearer {token}")]


def ask(house: House, shape: Shape, *, source: str = "127.0.0.1") -> tuple[int, HTTPResponse, bytes]:
    """Send the very bytes: no client that puts paths and headers in order is in between."""
    where = urlsplit(house.url)
    connection = HTTPConnection(str(where.hostname), where.port, timeout=20, source_address=(source, 0))
    try:
        connection.putrequest(shape.method, shape.path, skip_accept_encoding=True)
        for name, value in shape.headers:
            connection.putheader(name, value)
        if shape.body is not None:
            connection.putheader("Content-Length", str(len(shape.body)))
        connection.endheaders(shape.body)
        answer = connection.getresponse()
        return answer.status, answer, answer.read()
    finally:
        connection.close()


def is_refused_by(policy: str, answer: tuple[int, HTTPResponse, bytes]) -> bool:
    """Whether it is a 429 of this policy that says when to come again."""
    status, head, _ = answer
    state, waits = head.getheader("RateLimit"), head.getheader("Retry-After")
    return status == 429 and (state, int(waits or 0) > 0) == (f'"{policy}";r=0;t={waits}', True)


@pytest.mark.parametrize("shape", REACHING)
def test_no_shape_of_a_request_gives_a_caller_another_bucket(tight: House, spent: list[str], shape: Shape) -> None:
    dressed = Shape(shape.method, shape.path, [*bearer(spent[0]), *shape.headers], shape.body)
    assert is_refused_by("caller", ask(tight, dressed))


@pytest.mark.parametrize("shape", RESEMBLING)
def test_what_resembles_a_route_is_limited_or_is_none(tight: House, spent: list[str], shape: Shape) -> None:
    dressed = Shape(shape.method, shape.path, [*bearer(spent[0]), *shape.headers], shape.body)
    assert ask(tight, dressed)[0] in {400, 404, 405, 429}


def test_no_other_token_of_a_caller_has_another_bucket(tight: House, spent: list[str]) -> None:
    for token in spent:
        assert is_refused_by("caller", ask(tight, Shape(headers=bearer(token))))
        assert is_refused_by("caller", ask(tight, Shape(headers=[("authorization", f"bEARER {token}")])))


def test_from_another_address_a_caller_is_the_same_caller(tight: House, spent: list[str]) -> None:
    assert is_refused_by("caller", ask(tight, Shape(headers=bearer(spent[0])), source="127.0.0.2"))


def sign_in(house: House, *headers: tuple[str, str], source: str = "127.0.0.1") -> tuple[int, HTTPResponse, bytes]:
    body = json.dumps({"email": f"{new_id()}@example.com", "password": "a guess"}).encode()
    return ask(house, Shape("POST", LOGIN, [JSON, *headers], body), source=source)


def spend(house: House, address: str) -> None:
    statuses = [sign_in(house, ("X-Forwarded-For", address))[0] for _ in range(7)]
    assert statuses == [401] * 6 + [429]


def test_no_way_to_say_an_address_leaves_its_prefix(tight: House) -> None:
    spend(tight, "198.51.100.7")
    for said in BESIDE:
        assert is_refused_by("login", sign_in(tight, ("X-Forwarded-For", said))), said
    split = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "198.51.100.9")]
    assert is_refused_by("login", sign_in(tight, *split))
    assert sign_in(tight, ("X-Forwarded-For", "198.51.101.7"))[0] == 401


def test_an_ipv6_prefix_is_one_bucket(tight: House) -> None:
    spend(tight, "2001:db8:7:1aa::1")
    for said in IN_ONE_56:
        assert is_refused_by("login", sign_in(tight, ("X-Forwarded-For", said))), said
    assert sign_in(tight, ("X-Forwarded-For", "2001:db8:7:200::1"))[0] == 401


def test_nobody_is_believed_whom_no_trusted_proxy_vouches_for(tight: House, spent: list[str]) -> None:
    statuses = [sign_in(tight, ("X-Forwarded-For", f"6.6.{number}.6"), source="127.0.0.2")[0] for number in range(7)]
    assert statuses[-1] == 429
    for name in CLAIMS:
        assert is_refused_by("login", sign_in(tight, (name, "6.7.8.9"), source="127.0.0.2")), name
    assert is_refused_by("login", sign_in(tight, ("Forwarded", "for=6.7.8.9"), source="127.0.0.3"))
