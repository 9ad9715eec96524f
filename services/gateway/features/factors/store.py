"""Every SQL statement about second factors."""

from collections.abc import Sequence

from sqlalchemy import text

from libs.common.database.engine import Session
from services.gateway.features.factors.models import Factor


async def find(session: Session, user_id: str) -> Factor | None:
    """A user's factor, confirmed or not."""
    row = (
        await session.execute(
            text(
                "SELECT locked_secret, confirmed_at IS NOT NULL AS is_confirmed, last_step FROM totp_factors"
                " WHERE user_id = :user_id"
            ),
            {"user_id": user_id},
        )
    ).one_or_none()
    return Factor(**row._mapping) if row is not None else None


async def keep_waiting(session: Session, user_id: str, locked_secret: bytes) -> bool:
    """Keep a secret until it is confirmed, in place of one that never was; False when one is confirmed already."""
    kept = await session.execute(
        text(
            "INSERT INTO totp_factors AS f (user_id, locked_secret) VALUES (:user_id, :secret)"
            " ON CONFLICT (user_id) DO UPDATE SET locked_secret = EXCLUDED.locked_secret, created_at = now()"
            " WHERE f.confirmed_at IS NULL RETURNING 1"
        ),
        {"user_id": user_id, "secret": locked_secret},
    )
    return kept.first() is not None


async def confirm(session: Session, user_id: str, *, locked_secret: bytes, step: int) -> bool:
    """Make the waiting secret count; False when it is another one by now, or counts already."""
    confirmed = await session.execute(
        text(
            "UPDATE totp_factors SET confirmed_at = now(), last_step = :step"
            " WHERE user_id = :user_id AND locked_secret = :secret AND confirmed_at IS NULL RETURNING 1"
        ),
        {"user_id": user_id, "secret": locked_secret, "step": step},
    )
    return confirmed.first() is not None


async def use_step(session: Session, user_id: str, step: int) -> bool:
    """Use a step up; False when it, or a later one, was used meanwhile."""
    used = await session.execute(
        text(
            "UPDATE totp_factors SET last_step = :step"
            " WHERE user_id = :user_id AND confirmed_at IS NOT NULL AND (last_step IS NULL OR last_step < :step)"
            " RETURNING 1"
        ),
        {"user_id": user_id, "step": step},
    )
    return used.first() is not None


async def set_recovery_codes(session: Session, user_id: str, hashes: Sequence[bytes]) -> None:
    """Keep these recovery codes and no others."""
    await session.execute(text("DELETE FROM recovery_codes WHERE user_id = :user_id"), {"user_id": user_id})
    await session.execute(
        text("INSERT INTO recovery_codes (user_id, code_hash) SELECT :user_id, unnest(CAST(:hashes AS bytea[]))"),
        {"user_id": user_id, "hashes": list(hashes)},
    )


async def use_recovery_code(session: Session, user_id: str, code_hash: bytes) -> int | None:
    """Use a recovery code up: how many are left; None when there is no such code any more."""
    used = await session.execute(
        text("DELETE FROM recovery_codes WHERE user_id = :user_id AND code_hash = :hash RETURNING 1"),
        {"user_id": user_id, "hash": code_hash},
    )
    if used.first() is None:
        return None
    left = await session.execute(
        text("SELECT count(*) FROM recovery_codes WHERE user_id = :user_id"), {"user_id": user_id}
    )
    return int(left.scalar_one())


async def remove(session: Session, user_id: str) -> bool:
    """Forget a user's factor and recovery codes; False when there was no confirmed one."""
    await session.execute(text("DELETE FROM recovery_codes WHERE user_id = :user_id"), {"user_id": user_id})
    removed = await session.execute(
        text("DELETE FROM totp_factors WHERE user_id = :user_id RETURNING confirmed_at"), {"user_id": user_id}
    )
    row = removed.one_or_none()
    return row is not None and row.confirmed_at is not None
