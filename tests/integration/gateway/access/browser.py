"""A browser as far as the gateway sees one: its cookie, its origin, and what a page of the platform adds."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from services.gateway.access.browser_cookies import SESSION_COOKIE
from tests.integration.gateway.access.door import PAGES, PASSWORD, SUPER_ADMIN, Door

PAGE = {"Origin": PAGES, "Sec-Fetch-Site": "same-origin", "X-Reeve-Session": "cookie"}
"""What a script of our own page sends with a write."""


@dataclass
class BrowserAtDoor:
    """Keeps the one cookie that it is given, as `__Host-` cookies are kept."""

    door: Door
    cookie: str | None = None
    lines: list[str] = field(default_factory=list)
    """Every `Set-Cookie` that came."""

    async def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, json: Any = None, content: Any = None
    ) -> httpx.Response:
        """One request with the cookie, and with these headers alone."""
        sent = dict(headers or {})
        if self.cookie is not None:
            sent.setdefault("Cookie", f"{SESSION_COOKIE}={self.cookie}")
        path = f"/api/v1/admin{path}"
        answer = await self.door.client.request(method, path, headers=sent, json=json, content=content)
        self.take(answer)
        return answer

    async def from_page(self, method: str, path: str, *, json: Any = None) -> httpx.Response:
        """One request as a script of our own page makes it."""
        return await self.ask(method, path, headers=PAGE, json=json)

    async def sign_in(self, email: str = SUPER_ADMIN) -> httpx.Response:
        """Sign in by cookie."""
        answer = await self.from_page("POST", "/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return answer

    def take(self, answer: httpx.Response) -> None:
        """Keep what the answer sets."""
        for line in answer.headers.get_list("set-cookie"):
            self.lines.append(line)
            name, _, rest = line.partition("=")
            if name == SESSION_COOKIE:
                value = rest.partition(";")[0]
                self.cookie = None if "Max-Age=0" in line else value
