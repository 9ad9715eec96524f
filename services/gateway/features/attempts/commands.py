"""Asking whether a sign-in may be tried now, and counting one that failed."""

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.events.sign_in import SignInLocked
from libs.common.identity import Caller
from services.gateway.access.events import event_of
from services.gateway.features.attempts import store
from services.gateway.features.attempts.models import (
    FROM_ANYWHERE,
    FROM_ONE_PLACE,
    account_locked,
    counted_under,
    is_known_place,
    remaining_seconds,
)
from services.gateway.features.users.models import masked_email


async def refuse_if_locked(session: Session, *, email: str, address: str | None, user_id: str | None) -> None:
    """Raise `RateLimited` (`account_locked`) while a lock holds for this account from this address."""
    under = counted_under(email, address)
    locks = await store.find_locks(session, [under.place, under.account])
    if not locks:
        return
    is_known = user_id is not None and is_known_place(address, await store.find_places(session, user_id))
    seconds = remaining_seconds(place=locks.get(under.place, 0), account=locks.get(under.account, 0), is_known=is_known)
    if seconds > 0:
        raise account_locked(seconds)


async def count_failure(session: Session, caller: Caller, *, email: str, user_id: str | None) -> None:
    """Count a failed sign-in; where that begins a lock, leave its event."""
    under = counted_under(email, caller.origin.ip_address)
    # In one order, whichever addresses fail at once: the account's row is the one they share.
    for key, policy, scope in (
        (under.account, FROM_ANYWHERE, "account"), (under.place, FROM_ONE_PLACE, "place"),
    ):  # fmt: skip
        failures = await store.add_failure(session, key)
        seconds = policy.lock_seconds(failures)
        if seconds == 0:
            continue
        await store.lock(session, key, seconds=seconds)
        locked = SignInLocked(
            user_id=user_id, tried_email=masked_email(email), scope=scope, failures=failures, seconds=seconds
        )
        subject = f"user/{user_id}" if user_id is not None else None
        await outbox.emit(session, event_of(caller, locked, subject=subject, severity="warning"))
    await store.purge(session)


async def forgive(session: Session, *, email: str, address: str | None) -> None:
    """A sign-in from there succeeded. What was counted from anywhere stays: the owner's success is no guesser's."""
    await store.forget(session, counted_under(email, address).place)
