"""No route of the running platform does anything for a page of another origin, whatever cookie the browser adds."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from libs.common.ids import new_id
from tests.contract.gateway.test_doors import PUBLIC
from tests.support.eventually import eventually
from tests.support.house import ADMIN, EMAIL, PASSWORD, House

COOKIE = "__Host-reeve-session"
MARK = {"x-reeve-session": "cookie"}
JSON = {"content-type": "application/json"}
STREAM = f"{ADMIN}/stream"
AT_ONCE = 8

FOREIGN: Mapping[str, dict[str, str]] = {
    "no sign at all": {},
    "the mark alone": MARK,
    "another origin": {**MARK, "origin": "https://evil.example"},
    "no origin that can be told": {**MARK, "origin": "null"},
    "another port": {**MARK, "origin": "http://127.0.0.1:1"},
    "another site": {**MARK, "sec-fetch-site": "cross-site"},
    "a sibling": {**MARK, "sec-fetch-site": "same-site"},
    "typed in": {**MARK, "sec-fetch-site": "none"},
}
"""What other pages can make a browser send, and what they cannot, one sign missing or wrong at a time."""


def sign_in(house: House) -> str:
    """A session by cookie of its own; the cookie's value."""
    with house.client(None) as http:
        body = {"email": EMAIL, "password": PASSWORD}
        answer = http.post(f"{ADMIN}/auth/login", json=body, headers={**MARK, "origin": house.url})
        line = answer.raise_for_status().headers["set-cookie"]
    assert re.fullmatch(COOKIE + r"=[A-Za-z0-9_-]{96}; Path=/; Secure; HttpOnly; SameSite=Strict", line)
    return str(line.partition("=")[2].partition(";")[0])


@pytest.fixture
async def cookie(house: House) -> dict[str, str]:
    return {"cookie": f"{COOKIE}={await asyncio.to_thread(sign_in, house)}"}


async def operations(http: httpx.AsyncClient, *, safe: bool) -> list[tuple[str, str]]:
    """Every route that is not public, by whether its method is a safe one."""
    paths = (await http.get("/api/v1/openapi.json")).json()["paths"]
    found = [(method, path) for path, one in paths.items() for method in one if (method, path) not in PUBLIC]
    return [one for one in found if (one[0] in ("get", "head")) is safe]


async def ask(
    http: httpx.AsyncClient, turns: asyncio.Semaphore, method: str, path: str, headers: dict[str, str]
) -> httpx.Response:
    target = re.sub(r"\{\w+\}", new_id(), path)
    async with turns:
        request = http.build_request(
            method, target, headers={**JSON, **headers}, content=b"{}" if method != "get" else None
        )
        answer = await http.send(request, stream=True)
        if path != STREAM or answer.status_code != 200:
            await answer.aread()
        await answer.aclose()
        return answer


def refused(answer: httpx.Response) -> bool:
    """The house's shape; below the log's path its plain text."""
    if answer.status_code != 403:
        return False
    if answer.headers["content-type"].startswith("text/plain"):
        return "cookie must" in answer.text
    detail = answer.json()["detail"]
    return set(detail) == {"error", "message", "rule"} and detail["error"] == "csrf_failed"


async def counts(house: House) -> tuple[int, ...]:
    """How many there are of what routes change."""
    with house.client() as http:
        lists = ("users", "sessions?all=true", "clients", "roles", "access/requests", "settings", "exports")
        return tuple([(await asyncio.to_thread(http.get, f"{ADMIN}/{one}")).json()["total"] for one in lists])


@pytest.mark.parametrize("page", FOREIGN.values(), ids=FOREIGN)
async def test_no_unsafe_route_runs_for_a_page_of_another_origin(
    house: House, cookie: dict[str, str], page: dict[str, str]
) -> None:
    turns = asyncio.Semaphore(AT_ONCE)
    before = await counts(house)
    async with httpx.AsyncClient(base_url=house.url, timeout=30, verify=False) as http:
        routes = await operations(http, safe=False)
        assert len(routes) > 40
        answers = await asyncio.gather(*(ask(http, turns, *route, {**cookie, **page}) for route in routes))
        for route, answer in zip(routes, answers, strict=True):
            assert refused(answer), (route, answer.status_code, answer.text)
        assert (await http.get(f"{ADMIN}/auth/me", headers=cookie)).status_code == 200  # No sign-out among them ran.
    assert await counts(house) == before


async def test_the_same_requests_of_our_own_page_reach_every_handler(house: House, cookie: dict[str, str]) -> None:
    turns = asyncio.Semaphore(AT_ONCE)
    own = {**MARK, "origin": house.url}
    async with httpx.AsyncClient(base_url=house.url, timeout=30, verify=False) as http:
        for safe in (True, False):
            routes = [one for one in await operations(http, safe=safe) if "/auth/" not in one[1]]
            answers = await asyncio.gather(*(ask(http, turns, *route, {**cookie, **own}) for route in routes))
            for route, answer in zip(routes, answers, strict=True):
                assert answer.status_code not in (401, 500), (route, answer.text)
                assert not refused(answer), (route, answer.text)


@pytest.mark.parametrize(
    "page",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=["another origin", "null", "an image of another site", "an image of a sibling"],
)
async def test_no_page_of_another_origin_reads_either(
    house: House, cookie: dict[str, str], page: dict[str, str]
) -> None:
    turns = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=house.url, timeout=30, verify=False) as http:
        routes = await operations(http, safe=True)
        assert (("get", STREAM) in routes, len(routes) > 40) == (True, True)
        answers = await asyncio.gather(*(ask(http, turns, *route, {**cookie, **page}) for route in routes))
        for route, answer in zip(routes, answers, strict=True):
            assert refused(answer), (route, answer.status_code, answer.text)


async def test_no_get_does_what_another_method_is_for(house: House, cookie: dict[str, str]) -> None:
    turns = asyncio.Semaphore(AT_ONCE)
    before = await counts(house)
    async with httpx.AsyncClient(base_url=house.url, timeout=30, verify=False) as http:
        safe = {path for _, path in await operations(http, safe=True)}
        unsafe = [(method, path) for method, path in await operations(http, safe=False) if path not in safe]
        assert len(unsafe) > 10
        asked = [
            ask(
                http,
                turns,
                "get",
                path,
                {**cookie, **MARK, "origin": house.url, "x-http-method-override": method.upper()},
            )
            for method, path in unsafe
        ]
        for route, answer in zip(unsafe, await asyncio.gather(*asked), strict=True):
            # What there is at such a path for GET is a thing of that name, which there is not.
            assert answer.status_code in (404, 405, 422), (route, answer.text)
        assert (await http.get(f"{ADMIN}/auth/me", headers=cookie)).status_code == 200
    assert await counts(house) == before


KINDS = {
    "form": ("application/x-www-form-urlencoded", b"key=planted&value_type=integer&value=1"),
    "plain text": ("text/plain", b'{"key": "planted", "value_type": "integer", "value": 1}'),
    "multipart": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nplanted\r\n--x--\r\n',
    ),
    "image": ("image/png", b"\x89PNG\r\n\x1a\n"),
    "none": ("", b'{"key": "planted", "value_type": "integer", "value": 1}'),
}


@pytest.mark.parametrize("is_own", [False, True], ids=["another origin", "our own page"])
@pytest.mark.parametrize(("content_type", "content"), KINDS.values(), ids=KINDS)
async def test_what_a_form_can_send_changes_nothing(
    house: House, cookie: dict[str, str], content_type: str, content: bytes, is_own: bool
) -> None:
    page = {**MARK, "origin": house.url} if is_own else {"origin": "https://evil.example"}
    headers = {**cookie, **page, **({"content-type": content_type} if content_type else {})}
    async with httpx.AsyncClient(base_url=house.url, timeout=30, verify=False) as http:
        answer = await http.post(f"{ADMIN}/settings", headers=headers, content=content)
        assert refused(answer), answer.text
        assert answer.json()["detail"]["rule"] == ("content_type" if is_own else "origin")
    with house.client() as known:
        assert (await asyncio.to_thread(known.get, f"{ADMIN}/settings/planted")).status_code == 404


async def test_a_refusal_is_audited_with_whose_cookie_it_was_and_counted(house: House, cookie: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=house.url, timeout=30, verify=False) as http:

        async def counted() -> float:
            text = (await http.get(house.metrics_url)).text
            found = re.search(r'reeve_csrf_refused_total\{[^}]*rule="origin"[^}]*\} (\S+)', text)
            return float(found[1]) if found else 0.0

        before = await counted()
        headers = {**cookie, **MARK, "origin": "https://evil.example"}
        answer = await http.put(f"{ADMIN}/settings/store_trial_days", headers=headers, json={"value": 99})
        assert refused(answer), answer.text
        assert await counted() == before + 1

    def entries() -> list[dict[str, Any]]:
        with house.client() as known:
            found = known.get(f"{ADMIN}/audit/logs", params={"request_id": answer.headers["x-request-id"]})
            return list(found.raise_for_status().json()["logs"])

    await eventually(lambda: asyncio.to_thread(entries))
    (entry,) = entries()
    assert (entry["action"], entry["target_id"], entry["outcome"], entry["admin_username"]) == (
        "update_setting", "store_trial_days", "denied", EMAIL,
    )  # fmt: skip
    assert entry["details"]["error"] == "csrf_failed"


async def test_no_script_of_another_origin_is_told_that_it_may_ask(house: House) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "PUT"}
    async with httpx.AsyncClient(base_url=house.url, timeout=30, verify=False) as http:
        answer = await http.options(
            f"{ADMIN}/settings/theme", headers={**asked, "access-control-request-headers": "x-reeve-session"}
        )
        assert answer.status_code == 405
        read = await http.get(f"{ADMIN}/auth/me", headers=asked)
    for one in (answer, read):
        assert not any(name.startswith("access-control") for name in one.headers)
        assert "frame-ancestors 'none'" in one.headers["content-security-policy"]


async def test_a_stream_opens_for_our_own_page_and_ends_with_the_session(house: House, cookie: dict[str, str]) -> None:
    own = {**cookie, "sec-fetch-site": "same-origin"}
    async with (
        httpx.AsyncClient(base_url=house.url, timeout=30, verify=False) as http,
        http.stream("GET", STREAM, headers=own, params={"topics": "operations"}) as live,
    ):
        assert live.status_code == 200
        out = await http.post(f"{ADMIN}/auth/logout", headers={**own, **MARK})
        assert out.status_code == 204
        assert out.headers["set-cookie"] == f"{COOKIE}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict"
        async with asyncio.timeout(1.0):
            async for _ in live.aiter_bytes():
                pass
        assert (await http.get(f"{ADMIN}/auth/me", headers=own)).status_code == 401
