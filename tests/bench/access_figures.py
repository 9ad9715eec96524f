"""Access control in a gateway of its own process: what a read costs that it answers itself, how often what it knows
suffices, how soon a changed permission holds everywhere, and what a flood of unknown keys does.

The gateways are processes with a real Postgres and RabbitMQ; the other services run only where they are asked.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.bench.http_figures import READ, bare_server, shoot
from tests.bench.load import request_bytes
from tests.bench.samples import quantile_bound, samples_of
from tests.demo.administrator import Administrator
from tests.support.foreign_tokens import AUDIENCE, EC_KEY, claims, token
from tests.support.issuer_stand import IssuerStand, issuer_stand
from tests.support.platforms import running_services
from tests.support.postgres import PlatformDatabases
from tests.support.processes import Command, Platform

ADMIN = "/api/v1/admin"
OWN_READ = f"{ADMIN}/events/catalog/reeve.request.recorded.v1"
"""Token, permission, limit, durable event, metrics and sampled trace, and nothing to look up."""
GATEWAYS = 4
ADMINS = 50
CHANGES = 40
WAIT_SECONDS = 10.0
LONG_SECONDS = 15.0
"""Every administrator is unknown once; that is not what is measured."""
UNKNOWN_KEYS = 10_000
PASSWORD = "measured-not-secret-1"
MIX = (OWN_READ, f"{ADMIN}/auth/me", f"{ADMIN}/settings", f"{ADMIN}/settings/store_trial_days")
UNLIMITED = {"REEVE_RATE_LIMIT": "1000000000/minute", "REEVE_TRACE_SAMPLE": "0.01", "REEVE_LOG_LEVEL": "warning"}


async def access_figures(admin_url: str, amqp_url: str, *, seconds: float) -> dict[str, Any]:
    """All four, in this order, on one platform."""
    databases = PlatformDatabases(admin_url)
    try:
        async with issuer_stand() as stand, _platform(databases, amqp_url, stand) as platform:
            async with httpx.AsyncClient(base_url=platform.url, timeout=30) as http:
                owner = await Administrator.sign_in(http, email=platform.email, password=platform.password)
                admins = [await _hired(http, owner, number) for number in range(ADMINS)]
                found: dict[str, Any] = {
                    "spread": await _spread(platform, owner, admins[0]),
                    "mixed": await _mixed(platform, [one for one, _ in admins], seconds=seconds),
                }
                for name, program in platform.programs.items():
                    if name != "gateway":
                        await program.kill()
                found["own_read"] = await _own_read(platform, owner, seconds=seconds)
                found["unknown_keys"] = await _unknown_keys(platform, owner, stand)
            return found
    finally:
        await databases.close()


@asynccontextmanager
async def _platform(databases: PlatformDatabases, amqp_url: str, stand: IssuerStand) -> AsyncIterator[Platform]:
    trusted = [{"issuer": stand.url, "audience": AUDIENCE, "role_map": {"watchers": "viewer"}}]
    extra = {**UNLIMITED, "REEVE_TRUSTED_ISSUERS": json.dumps(trusted)}
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as folder:
        async with running_services(
            Path(folder), databases=databases, amqp_url=amqp_url, launcher=Command(), gateways=GATEWAYS, extra=extra
        ) as platform:
            yield platform


async def _hired(http: httpx.AsyncClient, owner: Administrator, number: int) -> tuple[Administrator, str]:
    """A new administrator, signed in, and the id of the account."""
    email = f"admin-{number}@example.com"
    body = {"email": email, "name": f"Admin {number}", "role": "viewer", "password": PASSWORD}
    made = await owner.call("POST", "/users", json=body)
    made.raise_for_status()
    return await Administrator.sign_in(http, email=email, password=PASSWORD), str(made.json()["id"])


async def _spread(platform: Platform, owner: Administrator, who: tuple[Administrator, str]) -> dict[str, Any]:
    """Milliseconds from the answer to a change of role until every gateway goes by it."""
    admin, user_id = who
    took: list[float] = []
    urls = [one.url for name, one in platform.programs.items() if name.startswith("gateway")]
    async with httpx.AsyncClient(timeout=10, headers=admin.headers) as http:
        for number in range(CHANGES):
            role, status = (("moderator", 403), ("viewer", 200))[number % 2]
            changed = await owner.call("PUT", f"/users/{user_id}/role", json={"role": role})
            changed.raise_for_status()
            answered = time.perf_counter()
            async with asyncio.timeout(WAIT_SECONDS):
                took += await asyncio.gather(*(_until(http, f"{url}{ADMIN}/users", status, answered) for url in urls))
    took.sort()
    return {
        "gateways": len(urls), "changes": CHANGES, "p50_ms": round(took[len(took) // 2] * 1000, 1),
        "p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1), "max_ms": round(took[-1] * 1000, 1),
    }  # fmt: skip


async def _until(http: httpx.AsyncClient, url: str, status: int, since: float) -> float:
    while True:
        asked = time.perf_counter()
        if (await http.get(url)).status_code == status:
            return max(0.0, asked - since)
        await asyncio.sleep(0.002)


async def _mixed(platform: Platform, admins: Sequence[Administrator], *, seconds: float) -> dict[str, Any]:
    """Fifty administrators who read this and that: how often nothing had to be looked up, and how long that took."""
    requests = [
        request_bytes("GET", MIX[(number + turn) % len(MIX)], headers=dict(one.headers))
        for turn in range(len(MIX))
        for number, one in enumerate(admins)
    ]
    before = await samples_of(platform.gateway)
    load = await shoot(platform.url, requests, connections=16, seconds=max(seconds, LONG_SECONDS))
    after = await samples_of(platform.gateway)
    hits, misses = (_more(before, after, f'reeve_permission_cache_total{{result="{one}"}}') for one in ("hit", "miss"))
    return {
        "admins": len(admins), "per_second": load["per_second"], "hit_share": round(hits / (hits + misses), 5),
        "check_p99_ms": quantile_bound(before, after, "reeve_permission_check_seconds", 0.99) * 1000,
    }  # fmt: skip


def _more(before: Mapping[str, float], after: Mapping[str, float], name: str) -> float:
    return after.get(name, 0.0) - before.get(name, 0.0)


async def _own_read(platform: Platform, owner: Administrator, *, seconds: float) -> dict[str, Any]:
    """One gateway alone against a bare FastAPI route with the same bytes, at 64 connections, in turns."""
    async with httpx.AsyncClient(base_url=platform.url) as http:
        body = (await http.get(OWN_READ, headers=owner.headers)).content
    ours = [request_bytes("GET", OWN_READ, headers=owner.headers)]
    async with bare_server(body) as url:
        bare = [request_bytes("GET", READ, headers=owner.headers)]
        turns = [
            (
                await shoot(url, bare, connections=64, seconds=seconds / 3),
                await shoot(platform.url, ours, connections=64, seconds=seconds / 3),
            )
            for _ in range(3)
        ]
    reference, measured = (sum(one["per_second"] for one in side) / 3 for side in zip(*turns, strict=True))
    return {
        "bare_per_second": round(reference), "per_second": round(measured),
        "p99_ms": max(one["p99_ms"] for _, one in turns), "times_bare": round(reference / measured, 2),
    }  # fmt: skip


async def _unknown_keys(platform: Platform, owner: Administrator, stand: IssuerStand) -> dict[str, Any]:
    """Ten thousand tokens that each name another key of a trusted issuer, while an administrator reads."""
    said = claims(iss=stand.url, exp=int(time.time()) + 600, iat=int(time.time()))
    flood = [
        request_bytes(
            "GET", OWN_READ, headers={"authorization": f"Bearer {token(said, key=EC_KEY, kid=f'k-{number}')}"}
        )
        for number in range(UNKNOWN_KEYS)
    ]
    stand.hits.clear()
    read = [request_bytes("GET", OWN_READ, headers=owner.headers)]
    rate = 500.0
    refused, served = await asyncio.gather(
        shoot(platform.url, flood, mode="paced", rate=rate, seconds=UNKNOWN_KEYS / rate, expect=[401]),
        shoot(platform.url, read, mode="paced", rate=50.0, seconds=UNKNOWN_KEYS / rate),
    )
    return {
        "tokens": refused["requests"], "per_second": rate, "fetches": stand.hits["/jwks"],
        "refused_p99_ms": refused["p99_ms"], "served_p99_ms": served["p99_ms"],
    }  # fmt: skip
