"""Signing in at a real OpenID Provider by cookie: what is set, where the browser is sent, and what is not believed."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.gateway.access.browser_cookies import SESSION_COOKIE
from services.gateway.access.issuers.egress import Egress
from services.gateway.features.oidc.models import COOKIE
from tests.integration.gateway.access.browser import BrowserAtDoor
from tests.integration.gateway.access.door import PAGES, Door
from tests.integration.gateway.access.test_browser import LINE
from tests.integration.gateway.access.test_oidc_sign_in import (
    ALICE,
    CALLBACK,
    PLACE,
    Browser,
    elsewhere,
    error_of,
    reasons,
)
from tests.support.openid_provider import OpenIdProvider

CLEARED = f"{COOKIE}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
HOME = "/console?tab=1&name=a%20b"


@pytest.fixture
async def with_provider(door: Door, provider: OpenIdProvider, egress: Egress) -> Door:
    await provider.configure(accounts={"alice": ALICE}, client={"redirect_uris": [CALLBACK]})
    door.app.state.oidc = elsewhere(provider.issuer, egress)
    return door


@pytest.fixture
async def browser(with_provider: Door, provider: OpenIdProvider) -> AsyncIterator[Browser]:
    one = Browser(with_provider, provider)
    yield one
    await one.close()


async def set_out(browser: Browser, **asked: str) -> str:
    answer = await browser.here.get(f"{PLACE}/login", params={"session": "cookie", **asked})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def sign_in(browser: Browser, **asked: str) -> httpx.Response:
    return await browser.here.get(await browser.back_from(await set_out(browser, **asked), login="alice"))


async def test_it_is_sent_on_with_the_cookie_of_a_session_and_no_token(browser: Browser, with_provider: Door) -> None:
    answer = await sign_in(browser, return_to=HOME)
    assert (answer.status_code, answer.headers["location"], answer.content) == (303, HOME, b"")
    cleared, line = answer.headers.get_list("set-cookie")
    assert (cleared, bool(LINE.fullmatch(line))) == (CLEARED, True)
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert await with_provider.run_sql("SELECT 1 FROM refresh_tokens") == []
    me = await browser.here.get("/api/v1/admin/auth/me")
    assert (me.status_code, me.json()["email"]) == (200, "alice@idp.example")
    out = await browser.here.post("/api/v1/admin/auth/logout", headers={"Origin": PAGES, "X-Reeve-Session": "cookie"})
    assert out.status_code == 204
    assert SESSION_COOKIE not in browser.here.cookies


async def test_without_a_path_it_is_told_who_signed_in(browser: Browser) -> None:
    answer = await sign_in(browser)
    assert (answer.status_code, set(answer.json())) == (200, {"admin", "expires_at"})
    assert answer.json()["admin"]["role"] == "admin"
    assert "token" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "evil", "", "/a\r\nb", "/#x",
        "/\t/evil.example", "javascript:alert(1)", "/" + "a" * 512, "/é",
    ],
)  # fmt: skip
async def test_it_is_sent_nowhere_but_to_a_path_of_this_origin(browser: Browser, path: str) -> None:
    answer = await browser.here.get(f"{PLACE}/login", params={"session": "cookie", "return_to": path})
    assert error_of(answer) == (422, "validation_error")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("change", ["no wish", "another path", "a wish"])
async def test_what_a_browser_wants_is_bound_to_its_attempt(browser: Browser, with_provider: Door, change: str) -> None:
    asked = {} if change == "a wish" else {"session": "cookie", "return_to": HOME}
    began = await browser.here.get(f"{PLACE}/login", params=asked)
    kept = browser.here.cookies[COOKIE]
    back = await browser.back_from(began.headers["location"], login="alice")
    secret = kept.partition(".")[0]
    changed = {"no wish": secret, "another path": f"{secret}.L2V2aWw", "a wish": f"{secret}.L2V2aWw"}[change]
    browser.here.cookies.clear()
    answer = await browser.here.get(back, headers={"Cookie": f"{COOKIE}={changed}"})
    assert error_of(answer) == (400, "invalid_state")
    assert "set-cookie" not in answer.headers
    assert await reasons(with_provider) == ["invalid_state"]


async def test_another_browser_is_not_signed_in_by_what_one_began(
    browser: Browser, with_provider: Door, provider: OpenIdProvider
) -> None:
    other = Browser(with_provider, provider)
    back = await browser.back_from(await set_out(browser), login="alice")
    await set_out(other)
    answer = await other.here.get(back)
    assert error_of(answer) == (400, "invalid_state")
    assert SESSION_COOKIE not in other.here.cookies
    await other.close()


async def test_of_two_cookies_that_began_a_sign_in_none_counts(browser: Browser) -> None:
    back = await browser.back_from(await set_out(browser), login="alice")
    kept = browser.here.cookies[COOKIE]
    browser.here.cookies.clear()
    for line in (f"{COOKIE}={kept}; {COOKIE}=planted", f"{COOKIE}=planted; {COOKIE}={kept}"):
        assert error_of(await browser.here.get(back, headers={"Cookie": line})) == (400, "invalid_state")


async def test_the_session_that_the_browser_was_in_ends_when_its_cookie_came_along(
    browser: Browser, with_provider: Door
) -> None:
    planted = BrowserAtDoor(with_provider)
    await planted.sign_in()
    back = await browser.back_from(await set_out(browser), login="alice")
    browser.here.cookies.set(SESSION_COOKIE, str(planted.cookie), domain="reeve.test")
    assert (await browser.here.get(back)).status_code == 200
    assert error_of(await planted.ask("GET", "/auth/me")) == (401, "invalid_session")
