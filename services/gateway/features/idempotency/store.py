"""Idempotency keys: one row per caller and key, good for 24 hours. The body is encrypted before it comes here."""

from dataclasses import dataclass

from sqlalchemy import text

from libs.common.database.engine import Session

STALE_CLAIM_SECONDS = 60
"""A claim whose request died without an answer may be taken over after this long."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier request with the key left; `status` is None while it still runs."""

    request_hash: bytes
    status: int | None
    headers: str | None
    body: bytes | None


async def claim(session: Session, *, caller: str, key: str, request_hash: bytes) -> Kept | None:
    """Claim the key. None when this request now holds it, else what holds it."""
    row = await session.execute(
        text(
            "INSERT INTO idempotency_keys AS k (caller, key, request_hash) VALUES (:caller, :key, :hash)"
            " ON CONFLICT (caller, key) DO UPDATE"
            " SET request_hash = EXCLUDED.request_hash, status = NULL, headers = NULL, body = NULL, created_at = now()"
            " WHERE k.created_at < now() - interval '24 hours'"
            " OR (k.status IS NULL AND k.created_at < now() - make_interval(secs => :stale))"
            " RETURNING 1"
        ),
        {"caller": caller, "key": key, "hash": request_hash, "stale": STALE_CLAIM_SECONDS},
    )
    if row.first() is not None:
        return None
    found = await session.execute(
        text(
            "SELECT request_hash, status, headers::text AS headers, body FROM idempotency_keys WHERE caller = :caller AND key = :key"
        ),
        {"caller": caller, "key": key},
    )
    held = found.one()
    return Kept(bytes(held.request_hash), held.status, held.headers, held.body)


async def keep(session: Session, *, caller: str, key: str, status: int, headers: str, body: bytes) -> None:
    """Keep the answer of the request that holds the key."""
    await session.execute(
        text(
            "UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = :body"
            " WHERE caller = :caller AND key = :key"
        ),
        {"caller": caller, "key": key, "status": status, "headers": headers, "body": body},
    )


async def release(session: Session, *, caller: str, key: str) -> None:
    """Free a key whose request failed on our side: the same request may be tried again."""
    await session.execute(
        text("DELETE FROM idempotency_keys WHERE caller = :caller AND key = :key AND status IS NULL"),
        {"caller": caller, "key": key},
    )


async def prune(session: Session) -> None:
    """Delete keys past their 24 hours."""
    await session.execute(text("DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"))
