"""A provider that lies, breaks off or is impersonated: nobody gets in, and nobody is thrown out, by its lies."""

import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest

from services.gateway.access.issuers.egress import Egress
from services.gateway.access.issuers.id_tokens import LOGOUT_EVENT, MOST_LOGOUT_AGE_SECONDS
from tests.integration.gateway.access.door import Door
from tests.integration.gateway.access.test_oidc_sign_in import CALLBACK, PLACE, elsewhere, error_of, reasons
from tests.support.foreign_tokens import STRANGERS_KEY, token
from tests.support.issuer_stand import IssuerStand, Page
from tests.support.openid_provider import CLIENT_ID


class Liar:
    """A stand that plays provider, and a browser that goes there and back."""

    def __init__(self, door: Door, stand: IssuerStand) -> None:
        self.door = door
        self.stand = stand
        transport = httpx.ASGITransport(app=door.watch, client=("203.0.113.9", 4321))
        self.http = httpx.AsyncClient(transport=transport, base_url="https://reeve.test")

    async def sign_in(
        self, *, header: dict[str, Any] | None = None, userinfo: Page | None = None, **said: Any
    ) -> httpx.Response:
        """A sign-in whose ID token says what is right, but for `said`, under another header if given."""
        address = (await self.http.get(f"{PLACE}/login")).headers["location"]
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        now = int(time.time())
        claims = {
            "iss": self.stand.url, "sub": "alice", "aud": CLIENT_ID, "exp": now + 60, "iat": now, "nonce": asked["nonce"],
            "sid": "there-1", "roles": ["watchers"], "email": "alice@idp.example", "email_verified": True, "name": "Alice",
        }  # fmt: skip
        whole = {name: value for name, value in {**claims, **said}.items() if value is not None}
        id_token = token(whole, **{"typ": "JWT", **(header or {})})
        body = {"access_token": "opaque", "token_type": "Bearer", "id_token": id_token}
        self.stand.pages["/token"] = self.stand.pages.get("/lie", Page(orjson.dumps(body)))
        self.stand.pages["/me"] = userinfo or Page(b'{"sub":"alice"}')
        return await self.http.get(CALLBACK, params={"state": asked["state"], "code": "c", "iss": self.stand.url})

    async def log_out(self, *, header: dict[str, Any] | None = None, key: Any = None, **said: Any) -> httpx.Response:
        """A logout token that says what is right, but for `said`, under another header if given."""
        now = int(time.time())
        claims = {
            "iss": self.stand.url, "aud": CLIENT_ID, "iat": now, "exp": now + 60, "jti": "l-1", "sub": "alice",
            "sid": "there-1", "events": {LOGOUT_EVENT: {}},
        }  # fmt: skip
        whole = {name: value for name, value in {**claims, **said}.items() if value is not None}
        text = token(whole, key=key, **{"typ": "logout+jwt", **(header or {})})
        return await self.http.post(f"{PLACE}/backchannel-logout", data={"logout_token": text})

    async def is_in(self, access_token: str) -> bool:
        """Whether a session still holds here."""
        return (await self.door.call("GET", "/auth/me", token=access_token)).status_code == 200


@pytest.fixture
async def liar(door: Door, stand: IssuerStand, egress: Egress) -> AsyncIterator[Liar]:
    """The door, with the stand as its provider."""
    stand.publish(
        authorization_endpoint=f"{stand.url}/auth",
        token_endpoint=f"{stand.url}/token",
        userinfo_endpoint=f"{stand.url}/me",
    )
    door.app.state.oidc = elsewhere(stand.url, egress)
    one = Liar(door, stand)
    yield one
    await one.http.aclose()


async def test_the_truth_gets_in(liar: Liar) -> None:
    assert (await liar.sign_in()).status_code == 200


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({}, {"nonce": "other"}), ({}, {"nonce": None}), ({}, {"aud": "spa"}), ({}, {"aud": [CLIENT_ID, "spa"]}),
        ({}, {"iss": "https://other.example"}), ({}, {"azp": "spa"}), ({}, {"exp": 1}), ({}, {"iat": 2**40}), ({}, {"sub": None}),
        ({}, {"at_hash": "AAAA"}), ({"key": STRANGERS_KEY}, {}), ({"kid": "unknown"}, {}), ({"typ": "at+jwt"}, {}),
        ({"typ": "logout+jwt"}, {}), ({"alg": "none"}, {}), ({"jku": "https://evil.example"}, {}),
    ],
    ids=repr,
)  # fmt: skip
async def test_a_lie_in_an_id_token_lets_nobody_in(liar: Liar, header: dict[str, Any], said: dict[str, Any]) -> None:
    assert error_of(await liar.sign_in(header=header, **said)) == (401, "sign_in_refused")
    assert await reasons(liar.door) == ["invalid_id_token"]
    assert await liar.door.run_sql("SELECT 1 FROM external_identities") == []


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (Page(b"{}"), (401, "sign_in_refused")),
        (Page(b'{"id_token": 7, "access_token": "a"}'), (401, "sign_in_refused")),
        (Page(b'{"error": "invalid_grant"}', status=400), (401, "sign_in_refused")),
        (Page(b"[]"), (503, "issuer_unavailable")),
        (Page(b"no json"), (503, "issuer_unavailable")),
        (Page(status=500), (503, "issuer_unavailable")),
        (Page(status=302, headers={"Location": "/jwks"}), (503, "issuer_unavailable")),
        (Page(b" " * 70_000), (503, "issuer_unavailable")),
        (Page(seconds=30), (503, "issuer_unavailable")),
    ],
    ids=["empty", "no text", "invalid grant", "list", "no json", "500", "redirect", "too large", "slow"],
)
async def test_a_broken_token_endpoint_lets_nobody_in(liar: Liar, page: Page, expected: tuple[int, str]) -> None:
    liar.stand.pages["/lie"] = page
    assert error_of(await liar.sign_in()) == expected


async def test_userinfo_of_another_subject_is_refused(liar: Liar) -> None:
    lie = Page(b'{"sub":"bob","roles":["owners"]}')
    assert error_of(await liar.sign_in(roles=None, userinfo=lie)) == (401, "sign_in_refused")


async def test_userinfo_cannot_unsay_what_was_signed(liar: Liar) -> None:
    lie = Page(b'{"sub":"alice","roles":["owners"],"name":"Alice"}')
    answer = await liar.sign_in(name=None, userinfo=lie)
    assert (answer.json()["admin"]["role"], answer.json()["admin"]["name"]) == ("viewer", "Alice")


async def test_a_token_endpoint_elsewhere_holds_the_provider_back(liar: Liar, egress: Egress) -> None:
    liar.stand.publish(authorization_endpoint=f"{liar.stand.url}/auth", token_endpoint="https://evil.example/token")
    liar.door.app.state.oidc = elsewhere(liar.stand.url, egress)
    assert error_of(await liar.door.call("GET", "/auth/oidc/login")) == (503, "issuer_unavailable")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"typ": "JWT"}, {}), ({"typ": None}, {}), ({"typ": "at+jwt"}, {}), ({"alg": "none"}, {}), ({"kid": "unknown"}, {}),
        ({"jwk": {"kty": "oct"}}, {}), ({"key": STRANGERS_KEY}, {}), ({}, {"nonce": "n"}), ({}, {"events": None}),
        ({}, {"events": {}}), ({}, {"events": {"other": {}}}), ({}, {"iss": "https://other.example"}), ({}, {"aud": "spa"}),
        ({}, {"jti": None}), ({}, {"iat": int(time.time()) - MOST_LOGOUT_AGE_SECONDS - 600}), ({}, {"exp": 1}), ({}, {"iat": 2**40}),
        ({}, {"sub": None, "sid": None}),
    ],
    ids=repr,
)  # fmt: skip
async def test_a_forged_logout_token_ends_nothing(liar: Liar, header: dict[str, Any], said: dict[str, Any]) -> None:
    own = (await liar.sign_in()).json()["access_token"]
    key = header.pop("key", None)
    assert error_of(await liar.log_out(header=header, key=key, **said)) == (400, "invalid_request")
    assert await liar.is_in(own)
    assert await liar.door.events("reeve.session.ended.v1") == []


async def test_a_logout_token_ends_the_session_it_names_and_no_other(liar: Liar) -> None:
    first = (await liar.sign_in()).json()
    second = (await liar.sign_in(sid="there-2")).json()
    by_password = (await liar.door.sign_in())["access_token"]
    answer = await liar.log_out()
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert not await liar.is_in(first["access_token"])
    assert await liar.is_in(second["access_token"])
    assert await liar.is_in(by_password)
    refreshed = await liar.door.call("POST", "/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert refreshed.status_code == 401
    (event,) = await liar.door.events("reeve.session.ended.v1")
    assert (event.data["reason"], event.actortype, event.actorid) == ("ended_by_issuer", "system", liar.stand.url)


async def test_without_a_sid_all_sessions_of_the_subject_end(liar: Liar) -> None:
    tokens = [(await liar.sign_in(sid=sid)).json()["access_token"] for sid in ("there-1", "there-2", None)]
    other = (await liar.sign_in(sub="bob", email="bob@idp.example")).json()["access_token"]
    assert (await liar.log_out(sid=None)).status_code == 200
    assert [await liar.is_in(one) for one in tokens] == [False, False, False]
    assert await liar.is_in(other)
    assert len(await liar.door.events("reeve.session.ended.v1")) == 3


async def test_a_session_of_which_no_sid_was_told_ends_with_any_of_its_subject(liar: Liar) -> None:
    own = (await liar.sign_in(sid=None)).json()["access_token"]
    other = (await liar.sign_in(sub="bob", email="bob@idp.example", sid=None)).json()["access_token"]
    assert (await liar.log_out()).status_code == 200
    assert [await liar.is_in(one) for one in (own, other)] == [False, True]


async def test_a_sid_of_somebody_else_ends_nothing(liar: Liar) -> None:
    own = (await liar.sign_in()).json()["access_token"]
    assert (await liar.log_out(sub="bob")).status_code == 200
    assert liar.door.watch.state["recorded"] is False
    assert await liar.is_in(own)


async def test_a_logout_token_works_once(liar: Liar) -> None:
    await liar.sign_in()
    assert (await liar.log_out()).status_code == 200
    again = (await liar.sign_in()).json()["access_token"]
    assert error_of(await liar.log_out()) == (400, "invalid_request")
    assert await liar.is_in(again)


@pytest.mark.parametrize(
    "content", [{"json": {"logout_token": "x"}}, {"data": {}}, {"content": b"logout_token=x"}], ids=repr
)
async def test_another_body_is_refused(liar: Liar, content: dict[str, Any]) -> None:
    answer = await liar.http.post(f"{PLACE}/backchannel-logout", **content)
    assert error_of(answer) == (400, "invalid_request")
