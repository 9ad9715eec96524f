"""How long a committed change takes to be stored by the audit service, and to be seen on the stream.

The clock starts at the change's own time in the settings service (`updated_at`, just before its commit)
and ends at the audit entry's `recorded_at`, or when the stream's frame is read here: one machine, one clock.
"""

import asyncio
import time
from datetime import datetime
from typing import Any

import httpx
import orjson

from tests.bench.http_figures import KEYS, shoot, write_requests
from tests.bench.platform_process import RunningPlatform

ADMIN = "/api/v1/admin"
CHANGED = "reeve.setting.changed.v1"


async def latency_figures(platform: RunningPlatform, *, rate: float, seconds: float) -> dict[str, Any]:
    """Write at `rate` for `seconds`; percentiles in milliseconds for the audit and for the stream."""
    keys = [f"bench.key_{number}" for number in range(KEYS)]
    since = datetime.now().astimezone().isoformat()
    seen: list[float] = []
    async with httpx.AsyncClient(base_url=platform.url, headers=platform.headers, timeout=None) as http:
        opened = asyncio.Event()
        listener = asyncio.create_task(_listen(http, seen, opened))
        await opened.wait()
        await shoot(platform.url, write_requests(platform, keys), mode="paced", rate=rate, seconds=seconds)
        await asyncio.sleep(1.5)
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        stored = await _stored(http, since)
    return {
        "writes_per_second": rate,
        "audit": percentiles(stored),
        "stream": percentiles(seen),
        "expected": int(rate * seconds),
    }


async def _listen(http: httpx.AsyncClient, seen: list[float], opened: asyncio.Event) -> None:
    async with http.stream("GET", f"{ADMIN}/stream", params={"topics": "settings"}) as response:
        response.raise_for_status()
        opened.set()
        async for line in response.aiter_lines():
            if line.startswith("data: ") and CHANGED in line:
                now = time.time()
                result = orjson.loads(line[6:])["data"]["result"]
                seen.append(now - datetime.fromisoformat(result["updated_at"]).timestamp())


async def _stored(http: httpx.AsyncClient, since: str) -> list[float]:
    found: list[float] = []
    cursor: str | None = None
    while True:
        params = {
            "action": "update_setting",
            "date_from": since,
            "limit": "200",
            **({"cursor": cursor} if cursor else {}),
        }
        page = (await http.get(f"{ADMIN}/audit/logs", params=params)).raise_for_status().json()
        for entry in page["logs"]:
            if entry["event_type"] == CHANGED:
                created, recorded = entry["created_at"], entry["recorded_at"]
                found.append((datetime.fromisoformat(recorded) - datetime.fromisoformat(created)).total_seconds())
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def percentiles(seconds: list[float]) -> dict[str, float | int]:
    """Count, p50, p99 and the largest, in milliseconds."""
    ordered = sorted(seconds)
    count = len(ordered)
    if not count:
        return {"count": 0}
    return {
        "count": count,
        "p50_ms": round(ordered[count // 2] * 1000, 2),
        "p99_ms": round(ordered[min(count - 1, int(count * 0.99))] * 1000, 2),
        "max_ms": round(ordered[-1] * 1000, 2),
    }
