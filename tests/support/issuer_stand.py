"""A server that publishes whatever a test wants an issuer to have published: hostile, broken, slow, gone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tests.support.foreign_tokens import EC_KEY, key_set, public_jwk

DISCOVERY = "/.well-known/openid-configuration"


@dataclass(slots=True)
class Page:
    """One answer of the stand."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0


@dataclass(slots=True)
class IssuerStand:
    """Its pages by path, and how often each was asked for."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)
    forms: list[dict[str, str]] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)

    def publish(self, *keys: Mapping[str, Any], **changes: Any) -> None:
        """A document of this issuer but for `changes`, and these keys."""
        self.pages[DISCOVERY] = Page(orjson.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **changes}))
        self.pages["/jwks"] = Page(key_set(*(keys or (public_jwk(EC_KEY),))))

    async def answer(self, request: web.Request) -> web.Response:
        """The page of this path; 404 where there is none."""
        self.hits[request.path] += 1
        if request.method == "POST":
            self.forms.append({name: str(value) for name, value in (await request.post()).items()})
            self.credentials.append(request.headers.get("Authorization", ""))
        page = self.pages.get(request.path, Page(status=404))
        await asyncio.sleep(page.seconds)
        return web.Response(body=page.body, status=page.status, headers=page.headers, content_type="application/json")


@asynccontextmanager
async def issuer_stand() -> AsyncIterator[IssuerStand]:
    """A stand on loopback with a document and one key."""
    stand = IssuerStand()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stand.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stand.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    stand.publish()
    try:
        yield stand
    finally:
        await runner.cleanup()
