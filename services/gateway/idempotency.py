"""`Idempotency-Key` on POST: the same request twice has one effect and one answer.

A key belongs to a caller for 24 hours. The first request claims it; a repeat with the same method,
path and body gets the kept answer, another one is refused, and a repeat while the first still runs
is 409. The draft IETF header (httpapi-idempotency-key) is accepted quoted or bare.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from fastapi import Request

from libs.common.database.engine import Database
from libs.common.errors import BadRequest, Conflict, Invalid, Unavailable
from services.gateway import idempotency_store as store

KEY = re.compile(r"[!-~]{1,255}")
KEPT_HEADERS = (b"content-type", b"etag", b"location")
MOST_KEPT_BODY = 256 * 1024
PRUNE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that this request holds and whose answer will be kept."""

    caller: str
    key: str


class Replay(Exception):
    """The answer of the first request with this key."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__("replayed")
        self.status = status
        self.headers = {**headers, "Idempotency-Replayed": "true"}
        self.body = body


class IdempotencyKeys:
    """Claims keys and keeps answers in the gateway's schema."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, request: Request, caller_id: str) -> None:
        """Claim the request's key if it carries one. Raises `Replay` when the answer is already there."""
        offered = request.headers.get("idempotency-key")
        if offered is None or request.method != "POST":
            return
        key = offered[1:-1] if len(offered) > 1 and offered[0] == offered[-1] == '"' else offered
        if not KEY.fullmatch(key):
            raise BadRequest("Idempotency-Key must be 1..255 visible ASCII characters", code="invalid_idempotency_key")
        body = await request.body()
        fingerprint = hashlib.sha256(
            f"{request.method} {request.url.path}?{request.url.query}\n".encode() + body
        ).digest()
        async with self._database.transaction() as session:
            kept = await store.claim(session, caller=caller_id, key=key, request_hash=fingerprint)
        if kept is None:
            request.state.idempotency = Claim(caller_id, key)
            return
        if kept.request_hash != fingerprint:
            raise Invalid("this Idempotency-Key was used for another request", code="idempotency_key_reused")
        if kept.status is None:
            raise Conflict(
                "the first request with this Idempotency-Key is still running", code="idempotency_key_in_use"
            )
        raise Replay(kept.status, orjson.loads(kept.headers or b"{}"), kept.body or b"")

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
                body=body,
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
