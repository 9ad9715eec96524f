"""An administrator's session against the running platform, through the public API alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx

ADMIN = "/api/v1/admin"


class SignInRefused(Exception):
    """The platform does not let the administrator in; the message is one line."""


class Administrator:
    """Signs in, changes settings, reads what the services stored."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http = http
        self.headers = {"authorization": f"Bearer {token}"}

    @classmethod
    async def sign_in(cls, http: httpx.AsyncClient, *, email: str, password: str) -> "Administrator":
        """Sign in. Raises `SignInRefused` when the platform refuses."""
        answer = await http.post(f"{ADMIN}/auth/login", json={"email": email, "password": password})
        if answer.status_code != 200:
            raise SignInRefused(f"sign-in refused: {answer.status_code} {answer.json()['detail']['message']}")
        return cls(http, answer.json()["access_token"])

    async def call(self, method: str, path: str, **given: Any) -> httpx.Response:
        """One call; waits and repeats when the platform says that it is too often."""
        while True:
            answer = await self._http.request(method, f"{ADMIN}{path}", headers=self.headers, **given)
            if answer.status_code != 429:
                return answer
            await asyncio.sleep(float(answer.headers.get("retry-after", 1)))

    async def get(self, path: str, **params: Any) -> Any:
        """The JSON body of a GET that must succeed."""
        answer = await self.call("GET", path, params=params)
        answer.raise_for_status()
        return answer.json()

    async def pages(self, path: str, member: str, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """Every item of a list, page by page by cursor."""
        cursor: str | None = None
        while True:
            page = await self.get(path, limit=200, **params, **({"cursor": cursor} if cursor else {}))
            for item in page[member]:
                yield item
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def register(self, client_id: str, source: str) -> str:
        """Register the demonstration as a platform service; returns its secret."""
        body = {
            "client_id": client_id,
            "name": "Demonstration",
            "scopes": ["events:publish"],
            "source": source,
            "event_types": ["com.demo.*", "platform.*"],
        }
        answer = await self.call("POST", "/clients", json=body)
        answer.raise_for_status()
        return str(answer.json()["client_secret"])

    async def change(self, key: str, value: int) -> float:
        """Set a setting; the seconds until its 200. A 202 is polled to its end."""
        started = time.perf_counter()
        answer = await self.call("PUT", f"/settings/{key}", json={"value": value})
        if answer.status_code == 202:
            while (await self.get(f"/operations/{answer.json()['operation_id']}"))["status"] == "accepted":
                await asyncio.sleep(0.05)
        else:
            answer.raise_for_status()
        return time.perf_counter() - started
