"""Signing in at a real OpenID Provider: there, back, and as whom."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from libs.common.ids import new_id
from services.gateway.access.issuers.egress import Egress
from services.gateway.access.issuers.issuer import Issuer
from services.gateway.access.issuers.models import origin_of
from services.gateway.access.issuers.relying_party import Registration, RelyingParty
from services.gateway.access.permissions import Role
from services.gateway.features.oidc.commands import SignInElsewhere
from services.gateway.features.oidc.models import COOKIE
from tests.integration.gateway.access.door import PASSWORD, SUPER_ADMIN, Door
from tests.support.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, sign_in_at

PLACE = "https://reeve.test/api/v1/admin/auth/oidc"
CALLBACK = f"{PLACE}/callback"
ROLES = {"owners": Role.SUPER_ADMIN, "reeve-admins": Role.ADMIN, "watchers": Role.VIEWER, "desk": "front_desk"}
ALICE = {"roles": ["reeve-admins"], "email": "alice@idp.example", "email_verified": True, "name": "Alice"}


def elsewhere(issuer: str, egress: Egress, *, secret: str | None = CLIENT_SECRET) -> SignInElsewhere:
    hidden = SecretStr(secret) if secret is not None else None
    one = Issuer(issuer, origins=frozenset([origin_of(issuer)]), egress=egress)
    party = RelyingParty(one, egress, Registration(CLIENT_ID, hidden, CALLBACK))
    return SignInElsewhere(party, b"k" * 32, role_claim="roles", role_map=ROLES)


class Browser:
    """A browser of its own at the gateway and at the provider."""

    def __init__(self, door: Door, provider: OpenIdProvider) -> None:
        transport = httpx.ASGITransport(app=door.watch, client=("203.0.113.9", 4321))
        self.here = httpx.AsyncClient(transport=transport, base_url="https://reeve.test")
        self.there = provider.browser()

    async def set_out(self) -> str:
        """Begin; the address at the provider."""
        answer = await self.here.get(f"{PLACE}/login")
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def back_from(self, address: str, *, login: str) -> str:
        """Sign in there; the address back here."""
        return await sign_in_at(self.there, address, login=login, until=CALLBACK)

    async def sign_in(self, login: str = "alice") -> httpx.Response:
        """All of it."""
        return await self.here.get(await self.back_from(await self.set_out(), login=login))

    async def close(self) -> None:
        """Close both."""
        await self.here.aclose()
        await self.there.aclose()


@pytest.fixture
async def with_provider(door: Door, provider: OpenIdProvider, egress: Egress) -> Door:
    """The door, with the real provider configured, and Alice known there."""
    await provider.configure(
        accounts={"alice": ALICE}, client={"redirect_uris": [CALLBACK], "backchannel_logout_session_required": True}
    )
    door.app.state.oidc = elsewhere(provider.issuer, egress)
    return door


@pytest.fixture
async def browser(with_provider: Door, provider: OpenIdProvider) -> AsyncIterator[Browser]:
    """Somebody's browser."""
    one = Browser(with_provider, provider)
    yield one
    await one.close()


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["error"]


async def reasons(door: Door) -> list[str]:
    return [event.data["reason"] for event in await door.events("reeve.sign_in.failed.v1")]


async def test_setting_out_tells_the_provider_what_the_standards_ask_for(browser: Browser) -> None:
    answer = await browser.here.get(f"{PLACE}/login")
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [CALLBACK]
    assert {"state", "nonce", "code_challenge", "client_id", "scope"} <= asked.keys()
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"):
        assert attribute in cookie
    assert "Domain" not in cookie
    secret = cookie.partition("=")[2].partition(";")[0]
    assert secret not in answer.headers["location"]
    assert answer.headers["cache-control"] == "no-store"


async def test_the_first_sign_in_makes_an_account_and_a_session_like_any_other(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    answer = await browser.sign_in()
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", "admin"}
    assert (body["admin"]["email"], body["admin"]["name"], body["admin"]["role"]) == (
        "alice@idp.example",
        "Alice",
        "admin",
    )
    assert answer.headers["cache-control"] == "no-store"
    me = await with_provider.call("GET", "/auth/me", token=body["access_token"])
    assert me.json()["id"] == body["admin"]["id"]
    refreshed = await with_provider.call("POST", "/auth/refresh", json={"refresh_token": body["refresh_token"]})
    assert refreshed.status_code == 200
    (started,) = await with_provider.events("reeve.session.started.v1")
    assert (started.actorid, started.data["issuer"]) == (body["admin"]["id"], provider.issuer)
    made = [event for event in await with_provider.events("reeve.user.created.v1") if event.data["role"] == "admin"]
    assert (made[0].actortype, made[0].actorid) == ("system", provider.issuer)


@pytest.mark.parametrize("in_id_token", [True, False], ids=["ID token", "userinfo"])
async def test_the_role_is_found_wherever_the_provider_tells_it(
    browser: Browser, provider: OpenIdProvider, in_id_token: bool
) -> None:
    await provider.configure(claimsInIdToken=in_id_token, accounts={"alice": {**ALICE, "roles": ["watchers"]}})
    assert (await browser.sign_in()).json()["admin"]["role"] == "viewer"


async def test_the_second_sign_in_is_the_same_account_with_the_role_of_now(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    first = (await browser.sign_in()).json()
    changed = {**ALICE, "roles": ["watchers"], "email": "renamed@idp.example", "name": "Renamed"}
    await provider.configure(accounts={"alice": changed})
    second = (await browser.sign_in()).json()
    assert second["admin"]["id"] == first["admin"]["id"]
    assert (second["admin"]["role"], second["admin"]["email"]) == ("viewer", "alice@idp.example")
    assert second["access_token"] != first["access_token"]
    (event,) = await with_provider.events("reeve.user.role_changed.v1")
    assert (event.data["role"], event.actorid) == ("viewer", provider.issuer)
    answer = await with_provider.call("GET", "/auth/me", token=first["access_token"])
    assert answer.json()["role"] == "viewer"


async def test_what_was_granted_for_a_time_ends_with_the_role_that_the_provider_takes(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    user_id = (await browser.sign_in()).json()["admin"]["id"]
    await with_provider.run_sql(
        "INSERT INTO access_requests (id, user_id, permission, reason, state, until, decided_by, decided_at)"
        " VALUES (:id, :user, 'settings:reveal', 'an incident', 'approved', now() + interval '1 hour', 'somebody', now())",
        id=new_id(), user=user_id,
    )  # fmt: skip
    await provider.configure(accounts={"alice": {**ALICE, "roles": ["watchers"]}})
    admin = (await browser.sign_in()).json()["admin"]
    assert admin["role"] == "viewer"
    (event,) = await with_provider.events("reeve.access.ended.v1")
    assert (event.data["reason"], event.data["permission"], event.actorid) == (
        "role_changed", "settings:reveal", provider.issuer,
    )  # fmt: skip
    assert await with_provider.run_sql("SELECT 1 FROM access_requests WHERE state = 'approved'") == []


async def test_a_custom_role_is_given_once_there_is_such_a_role(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    await provider.configure(accounts={"alice": {**ALICE, "roles": ["desk"]}})
    assert error_of(await browser.sign_in()) == (403, "no_role")
    assert await reasons(with_provider) == ["no_role"]
    body = {"permissions": ["settings:read"], "level": "read", "description": "The front desk."}
    token = await with_provider.token_of("super_admin")
    assert (await with_provider.call("PUT", "/roles/front_desk", token=token, json=body)).status_code == 201
    answer = (await browser.sign_in()).json()
    assert (answer["admin"]["role"], answer["admin"]["permissions"]) == ("front_desk", ["settings:read"])
    own = answer["access_token"]
    assert (await with_provider.call("GET", "/samples/theme", token=own)).status_code == 200
    assert (await with_provider.call("PUT", "/samples/theme", token=own, json={"value": 1})).status_code == 403


async def test_a_sign_in_from_a_new_device_is_told_of_however_it_was_made(
    browser: Browser, with_provider: Door
) -> None:
    for agent, told in (("first/1", 0), ("curl/8.0", 1), ("curl/8.1", 1)):
        browser.here.headers["user-agent"] = agent
        assert (await browser.sign_in()).status_code == 200
        assert len(await with_provider.events("reeve.device.first_seen.v1")) == told


async def test_the_beginning_of_the_session_is_its_proof(browser: Browser, with_provider: Door) -> None:
    token = (await browser.sign_in()).json()["access_token"]
    body = {"email": "new@example.com", "name": "New", "role": "admin"}
    assert (await with_provider.call("POST", "/users", token=token, json=body)).status_code == 201
    await with_provider.run_sql("UPDATE sessions SET proved_at = now() - interval '301 seconds'")
    answer = await with_provider.call("POST", "/auth/step-up", token=token, json={"password": PASSWORD})
    assert error_of(answer) == (401, "invalid_credentials")


async def test_rules_about_addresses_hold_on_the_way_there_and_back(browser: Browser, with_provider: Door) -> None:
    back = await browser.back_from(await browser.set_out(), login="alice")
    token = await with_provider.token_of("super_admin")
    rules = {"allow": ["203.0.113.7/32"], "deny": []}
    assert (await with_provider.call("PUT", "/security/ip-rules", token=token, json=rules)).status_code == 200
    for address in (f"{PLACE}/login", back):
        assert error_of(await browser.here.get(address)) == (403, "address_not_allowed")


async def test_the_last_super_admin_stays_one_whatever_the_provider_says(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    await provider.configure(accounts={"alice": {**ALICE, "roles": ["owners"]}})
    assert (await browser.sign_in()).json()["admin"]["role"] == "super_admin"
    created = (await with_provider.events("reeve.user.created.v1"))[-1]
    assert (created.actorid, created.data["approval"]) == (provider.issuer, "issuer")
    await with_provider.run_sql("UPDATE users SET is_active = false WHERE email = :email", email=SUPER_ADMIN)
    await provider.configure(accounts={"alice": {**ALICE, "roles": ["watchers"]}})
    assert (await browser.sign_in()).json()["admin"]["role"] == "super_admin"


async def test_whom_the_provider_makes_a_super_admin_is_asked_of_nobody_and_the_log_says_so(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    assert (await browser.sign_in()).status_code == 200
    for roles, told in (("owners", "issuer"), ("watchers", None)):
        await provider.configure(accounts={"alice": {**ALICE, "roles": [roles]}})
        assert (await browser.sign_in()).status_code == 200
        event = (await with_provider.events("reeve.user.role_changed.v1"))[-1]
        assert (event.data["changes"]["role"]["new"] == "super_admin", event.data.get("approval")) == (bool(told), told)


async def test_an_address_alone_makes_nobody_somebody_else(browser: Browser, with_provider: Door) -> None:
    await with_provider.make_user(role="super_admin", email="alice@idp.example")
    answer = await browser.sign_in()
    assert error_of(answer) == (409, "account_exists")
    assert await reasons(with_provider) == ["account_exists"]
    assert await with_provider.run_sql("SELECT 1 FROM external_identities") == []
    (event,) = await with_provider.events("reeve.sign_in.failed.v1")
    assert event.data["tried_email"] == "a***@idp.example"


async def test_an_address_that_is_not_verified_takes_nobody_s_place(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    await with_provider.make_user(role="super_admin", email="alice@idp.example")
    await provider.configure(accounts={"alice": {**ALICE, "email_verified": False, "roles": ["watchers"]}})
    admin = (await browser.sign_in()).json()["admin"]
    assert admin["email"].endswith("@external.invalid")
    assert admin["role"] == "viewer"


async def test_without_a_role_there_is_no_account_and_no_session(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    await provider.configure(accounts={"alice": {**ALICE, "roles": ["x"]}})
    assert error_of(await browser.sign_in()) == (403, "no_role")
    assert await reasons(with_provider) == ["no_role"]
    assert len(await with_provider.run_sql("SELECT 1 FROM users")) == 1


async def test_a_role_that_was_taken_away_there_lets_nobody_in_here(browser: Browser, provider: OpenIdProvider) -> None:
    assert (await browser.sign_in()).status_code == 200
    await provider.configure(accounts={"alice": {**ALICE, "roles": []}})
    assert error_of(await browser.sign_in()) == (403, "no_role")


async def test_a_switched_off_account_stays_out(browser: Browser, with_provider: Door) -> None:
    await browser.sign_in()
    await with_provider.run_sql("UPDATE users SET is_active = false WHERE email = 'alice@idp.example'")
    assert error_of(await browser.sign_in()) == (401, "sign_in_refused")
    (event,) = await with_provider.events("reeve.sign_in.failed.v1")
    assert event.data["reason"] == "inactive"
    assert str(event.subject).startswith("user/")


async def test_two_first_sign_ins_at_once_make_one_account(with_provider: Door, provider: OpenIdProvider) -> None:
    browsers = [Browser(with_provider, provider) for _ in range(4)]
    backs = [await one.back_from(await one.set_out(), login="alice") for one in browsers]
    answers = await asyncio.gather(*(one.here.get(back) for one, back in zip(browsers, backs, strict=True)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["admin"]["id"] for answer in answers}) == 1
    for one in browsers:
        await one.close()


async def test_a_way_back_works_once(browser: Browser, with_provider: Door) -> None:
    address = await browser.set_out()
    secret = browser.here.cookies[COOKIE]
    back = await browser.back_from(address, login="alice")
    assert (await browser.here.get(back)).status_code == 200
    for _ in range(2):
        answer = await browser.here.get(back, headers={"Cookie": f"{COOKIE}={secret}"})
        assert error_of(answer) == (400, "invalid_state")
    assert await reasons(with_provider) == ["invalid_state"] * 2


async def test_another_browser_cannot_finish_what_one_began(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    other = Browser(with_provider, provider)
    back = await browser.back_from(await browser.set_out(), login="alice")
    assert error_of(await other.here.get(back)) == (400, "invalid_state")
    await other.set_out()
    assert error_of(await other.here.get(back)) == (400, "invalid_state")
    assert (await browser.here.get(back)).status_code == 200
    await other.close()


def changed(back: str, **changes: str | None) -> str:
    query = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    said: Mapping[str, Any] = {name: value for name, value in {**query, **changes}.items() if value is not None}
    return str(httpx.URL(CALLBACK, params=said))


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({"state": None}, (400, "invalid_state"), "invalid_state"),
        ({"state": "A" * 75}, (400, "invalid_state"), "invalid_state"),
        ({"iss": None}, (401, "sign_in_refused"), "invalid_id_token"),
        ({"iss": "https://evil.example"}, (401, "sign_in_refused"), "invalid_id_token"),
        ({"code": None}, (401, "sign_in_refused"), "provider_refused"),
        ({"code": "guessed"}, (401, "sign_in_refused"), "provider_refused"),
        ({"code": None, "error": "access_denied"}, (401, "sign_in_refused"), "provider_refused"),
    ],
    ids=repr,
)
async def test_a_changed_way_back_leads_nowhere_and_is_recorded(
    browser: Browser,
    with_provider: Door,
    changes: dict[str, str | None],
    expected: tuple[int, str],
    reason: str,
) -> None:
    back = await browser.back_from(await browser.set_out(), login="alice")
    assert error_of(await browser.here.get(changed(back, **changes))) == expected
    assert await reasons(with_provider) == [reason]
    (event,) = await with_provider.events("reeve.sign_in.failed.v1")
    assert event.data["issuer"] == with_provider.app.state.oidc.party.issuer.url
    assert with_provider.watch.state["recorded"] is True


async def test_what_a_provider_adds_to_its_answer_is_passed_over_and_nothing_may_be_there_twice(
    browser: Browser,
) -> None:
    back = await browser.back_from(await browser.set_out(), login="alice")
    assert (await browser.here.get(f"{back}&state=again")).status_code == 422
    assert (await browser.here.get(f"{back}&session_state=x.y&scope=openid")).status_code == 200


async def test_the_nonce_of_another_attempt_is_refused(browser: Browser, provider: OpenIdProvider) -> None:
    address = await browser.set_out()
    swapped = str(httpx.URL(address).copy_set_param("nonce", "of-an-attacker"))
    back = await browser.back_from(swapped, login="alice")
    assert error_of(await browser.here.get(back)) == (401, "sign_in_refused")


async def test_a_code_of_another_browser_is_worth_nothing_without_its_verifier(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    victim = Browser(with_provider, provider)
    stolen = parse_qs(urlsplit(await victim.back_from(await victim.set_out(), login="alice")).query)["code"][0]
    own = await browser.back_from(await browser.set_out(), login="alice")
    assert error_of(await browser.here.get(changed(own, code=stolen))) == (401, "sign_in_refused")
    await victim.close()


async def test_a_wrong_client_secret_is_the_provider_s_refusal(
    browser: Browser, with_provider: Door, provider: OpenIdProvider, egress: Egress
) -> None:
    with_provider.app.state.oidc = elsewhere(provider.issuer, egress, secret="wrong")
    assert error_of(await browser.sign_in()) == (401, "sign_in_refused")


async def test_a_public_client_signs_in_by_pkce_alone(
    browser: Browser, with_provider: Door, provider: OpenIdProvider, egress: Egress
) -> None:
    await provider.configure(
        client={
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code"],
        }
    )
    with_provider.app.state.oidc = elsewhere(provider.issuer, egress, secret=None)
    assert (await browser.sign_in()).status_code == 200


async def test_keys_may_change_between_two_sign_ins(browser: Browser, provider: OpenIdProvider) -> None:
    await provider.rotate()
    assert (await browser.sign_in()).status_code == 200


async def test_without_a_provider_the_routes_say_so(door: Door) -> None:
    for method, path in (("GET", "/login"), ("GET", "/callback"), ("POST", "/backchannel-logout")):
        answer = await door.call(method, f"/auth/oidc{path}")
        assert error_of(answer) == (404, "oidc_not_configured")


async def test_a_provider_that_is_away_refuses_new_sign_ins_and_leaves_sessions_alone(
    door: Door, egress: Egress
) -> None:
    own = (await door.sign_in())["access_token"]
    door.app.state.oidc = elsewhere("http://127.0.0.1:1", egress)
    assert error_of(await door.call("GET", "/auth/oidc/login")) == (503, "issuer_unavailable")
    assert (await door.call("GET", "/auth/me", token=own)).status_code == 200


async def test_a_password_never_opens_an_account_that_came_from_the_provider(
    browser: Browser, with_provider: Door
) -> None:
    await browser.sign_in()
    for password in (PASSWORD, "", "alice"):
        body = {"email": "alice@idp.example", "password": password or " "}
        answer = await with_provider.call("POST", "/auth/login", json=body)
        assert error_of(answer) == (401, "invalid_credentials")


async def test_neither_codes_nor_secrets_nor_states_are_stored_readably(browser: Browser, with_provider: Door) -> None:
    address = await browser.set_out()
    secret = browser.here.cookies[COOKIE]
    back = await browser.back_from(address, login="alice")
    query = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    body = (await browser.here.get(back)).json()
    asked = parse_qs(urlsplit(address).query)
    dumped = str(
        await with_provider.run_sql(
            "SELECT s::text FROM spent_tokens s UNION ALL SELECT e::text FROM external_sessions e"
            " UNION ALL SELECT i::text FROM external_identities i UNION ALL SELECT convert_from(body, 'UTF8') FROM outbox"
        )
    )
    for hidden in (secret, query["state"], query["code"], asked["nonce"][0], CLIENT_SECRET, body["access_token"]):
        assert hidden not in dumped
    assert "alice" in dumped
