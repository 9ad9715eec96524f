"""A real OpenID Provider (node-oidc-provider) as a process, and a browser's part in signing in there."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote_plus, urljoin

import httpx

from tests.support.npm_install import PROVIDER, installed
from tests.support.processes import free_port

AUDIENCE = "reeve-api"
CLIENT_ID = "reeve"
CLIENT_SECRET = "secret of reeve: 100% & more"
SIGNED = "urn:reeve:jwt"
OPAQUE = "urn:reeve:opaque"
FOREIGN = "urn:other:jwt"
"""What a token may be asked for: a JWT for us, an opaque one for us, a JWT for somebody else."""
START_SECONDS = 30.0
STEP_SECONDS = 10.0
MOST_STEPS = 12


class OpenIdProvider:
    """One provider on a port of its own. Its keys and accounts live as long as its process."""

    def __init__(self) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; returns when it listens."""
        found = await asyncio.to_thread(installed, PROVIDER)
        self._process = await asyncio.create_subprocess_exec(
            str(found.node), str(found.script), str(self.port), AUDIENCE,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=None,
            start_new_session=True,
        )  # fmt: skip
        assert (await self._answer(START_SECONDS))["issuer"] == self.issuer

    async def stop(self) -> None:
        """End it, by force if need be."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def configure(self, **changes: Any) -> None:
        """Change accounts, the client's registration, or where claims are told."""
        await self._do({"do": "configure", "changes": changes})

    async def rotate(self) -> list[str]:
        """Sign by new keys from now on, the old ones still published; the names of all."""
        return list((await self._do({"do": "rotate"}))["keys"])

    async def retire(self) -> list[str]:
        """Take the old keys out of what is published."""
        return list((await self._do({"do": "retire"}))["keys"])

    async def token(self, resource: str = SIGNED) -> str:
        """An access token of the client itself."""
        form = {"grant_type": "client_credentials", "scope": "api", "resource": resource}
        return str((await self._token_request(form))["access_token"])

    async def exchange(self, form: Mapping[str, str]) -> dict[str, Any]:
        """What the token endpoint answers to the client."""
        return await self._token_request(form)

    async def revoke(self, token: str) -> None:
        """Take an opaque token back."""
        async with self.browser() as http:
            answer = await http.post("/token/revocation", data={"token": token}, auth=self._credentials())
            assert answer.status_code == 200, answer.text

    def browser(self) -> httpx.AsyncClient:
        """A browser with an empty jar."""
        return httpx.AsyncClient(base_url=self.issuer, timeout=STEP_SECONDS, verify=False)

    async def _token_request(self, form: Mapping[str, str]) -> dict[str, Any]:
        async with self.browser() as http:
            answer = await http.post("/token", data=dict(form), auth=self._credentials())
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def _credentials(self) -> httpx.BasicAuth:
        return httpx.BasicAuth(quote_plus(CLIENT_ID), quote_plus(CLIENT_SECRET))

    async def _do(self, command: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._answer(STEP_SECONDS)

    async def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        assert line, f"the provider ended with {self._process.returncode}"
        answer: dict[str, Any] = json.loads(line)
        return answer


async def sign_in_at(http: httpx.AsyncClient, url: str, *, login: str, until: str) -> str:
    """Follow redirects and send the provider's forms, as a person would; the address that starts with `until`."""
    answer = await http.get(url)
    for _ in range(MOST_STEPS):
        if answer.is_redirect:
            target = urljoin(str(answer.url), answer.headers["location"])
            if target.startswith(until):
                return target
            answer = await http.get(target)
            continue
        assert answer.status_code == 200, answer.text
        answer = await _send_form(http, answer, {"login": login, "password": "any"})
    raise AssertionError("the provider never came to an end")


async def sign_out_at(http: httpx.AsyncClient) -> None:
    """End the session at the provider, which tells its clients over the back channel."""
    answer = await http.get("/session/end")
    assert answer.status_code == 200, answer.text
    answer = await _send_form(http, answer, {"logout": "yes"})
    assert answer.is_redirect or answer.status_code == 200, answer.text


class _Form(HTMLParser):
    """Where the first form of a page goes, and what it would send untouched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what matters of one tag."""
        given = dict(attrs)
        if tag == "form":
            self.action = self.action or given.get("action")
        elif tag == "input" and given.get("name"):
            self.fields[str(given["name"])] = given.get("value") or ""


async def _send_form(http: httpx.AsyncClient, page: httpx.Response, typed: Mapping[str, str]) -> httpx.Response:
    form = _Form(page.text)
    assert form.action is not None, page.text
    sent = {name: typed.get(name, value) for name, value in form.fields.items()}
    return await http.post(urljoin(str(page.url), form.action), data={**sent, **typed})


@asynccontextmanager
async def running_provider() -> AsyncIterator[OpenIdProvider]:
    """A provider that runs as long as the block does."""
    provider = OpenIdProvider()
    try:
        await provider.start()
        yield provider
    finally:
        await provider.stop()
