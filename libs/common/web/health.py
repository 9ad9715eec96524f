"""The probes of every service: `/healthz` (alive) and `/readyz` (can serve)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import orjson
from fastapi import APIRouter, Response

from libs.common import logs

Check = Callable[[], Awaitable[None]]
"""Returns when what it stands for can serve, raises when it cannot."""

CHECK_SECONDS = 2.0
log = logs.get(__name__)


def probes(checks: Mapping[str, Check], *, seconds: float = CHECK_SECONDS) -> APIRouter:
    """The two routes. Each check gets 2 seconds; a failing or hanging one makes `/readyz` 503 and is named."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> Response:
        return _answer(200, {"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> Response:
        found = await run_checks(checks, seconds=seconds)
        failed = [name for name, state in found.items() if state != "ok"]
        if not failed:
            return _answer(200, {"status": "ok", "checks": found})
        message = f"not ready: {', '.join(failed)}"
        return _answer(503, {"detail": {"error": "not_ready", "message": message, "checks": found}})

    return router


async def run_checks(checks: Mapping[str, Check], *, seconds: float = CHECK_SECONDS) -> dict[str, str]:
    """All checks at once: `ok`, `failed` or `timed out` by name."""
    states = await asyncio.gather(*(_state(name, check, seconds) for name, check in checks.items()))
    return dict(zip(checks, states, strict=True))


async def _state(name: str, check: Check, seconds: float) -> str:
    """How the check went, in words that tell nothing of the inside; the log has the rest."""
    try:
        async with asyncio.timeout(seconds):
            await check()
    except TimeoutError:
        log.warning("readiness check hangs", check=name, seconds=seconds)
        return "timed out"
    except Exception as error:
        log.warning("readiness check failed", check=name, error=repr(error))
        return "failed"
    return "ok"


def _answer(status: int, body: Mapping[str, object]) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")
