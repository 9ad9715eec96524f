"""`Idempotency-Key` on POST: the same request twice has one effect and one answer.

A key belongs to a caller for 24 hours. The first request claims it; a repeat with the same method,
path and body gets the kept answer, another one is refused, and a repeat while the first still runs
is 409. An answer may hold a secret that is shown once, so it is kept encrypted, and of the request
only a keyed hash.
"""

import asyncio
import contextlib
from collections.abc import Iterable

import orjson

from libs.common.database.engine import Database
from libs.common.errors import Conflict, Invalid, Unavailable
from libs.common.sealing import Locker
from services.gateway.features.idempotency import store
from services.gateway.features.idempotency.models import KEPT_HEADERS, MOST_KEPT_BODY, Claim, Replay, key_of

PRUNE_SECONDS = 600


class IdempotencyKeys:
    """Claims keys and keeps answers in the gateway's schema, readable only with `secret` (32 bytes)."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._locker = Locker(secret)

    async def begin(self, offered: str, *, caller_id: str, request: bytes) -> Claim:
        """Claim the key for `request` (its method, path and body). Raises `Replay` when the answer is already there."""
        claim = Claim(caller_id, key_of(offered))
        fingerprint = self._locker.fingerprint(request)
        async with self._database.transaction() as session:
            kept = await store.claim(session, caller=claim.caller, key=claim.key, request_hash=fingerprint)
        if kept is None:
            return claim
        if kept.request_hash != fingerprint:
            raise Invalid("this Idempotency-Key was used for another request", code="idempotency_key_reused")
        if kept.status is None:
            raise Conflict(
                "the first request with this Idempotency-Key is still running", code="idempotency_key_in_use"
            )
        body = self._locker.unlock(kept.body, bound=claim.bound) if kept.body else b""
        raise Replay(kept.status, orjson.loads(kept.headers or b"{}"), body)

    async def keep(self, claim: Claim, *, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Keep the answer; a server error or an over-long answer frees the key instead."""
        async with self._database.transaction() as session:
            if status >= 500 or len(body) > MOST_KEPT_BODY:
                await store.release(session, caller=claim.caller, key=claim.key)
                return
            kept = {name.decode(): value.decode("latin-1") for name, value in headers if name.lower() in KEPT_HEADERS}
            await store.keep(
                session,
                caller=claim.caller,
                key=claim.key,
                status=status,
                headers=orjson.dumps(kept).decode(),
                body=self._locker.lock(body, bound=claim.bound) if body else b"",
            )

    async def free(self, claim: Claim) -> None:
        """Give the key back: its request came to nothing."""
        async with self._database.transaction() as session:
            await store.release(session, caller=claim.caller, key=claim.key)

    async def prune_forever(self) -> None:
        """Forget keys past their 24 hours, every ten minutes."""
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            with contextlib.suppress(Unavailable):
                async with self._database.transaction() as session:
                    await store.prune(session)
