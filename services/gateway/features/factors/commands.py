"""Enrolling, proving and removing a second factor, and the events of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from libs.common import logs
from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.errors import Conflict, Invalid
from libs.common.events.sign_in import FactorEnrolled, FactorRemoved, RecoveryCodeUsed
from libs.common.identity import Caller
from libs.common.sealing import Locker, NotSealed
from services.gateway.access.events import event_of
from services.gateway.features.factors import store
from services.gateway.features.factors.models import (
    Factor,
    Proof,
    digits_of,
    enrolment_uri,
    matching_step,
    new_recovery_codes,
    new_secret,
    recovery_hash,
    secret_text,
)
from services.gateway.features.notices.commands import note_notice

log = logs.get("factors")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A secret that was just made, as an application takes it in."""

    otpauth_uri: str
    secret: str


class SecondFactors:
    """The second factors of all administrators. Secrets are kept locked to their owner; `clock` is in seconds."""

    def __init__(self, secret: bytes, *, issuer: str, clock: Callable[[], float] = time.time) -> None:
        self._locker = Locker(secret)
        self._issuer = issuer
        self._clock = clock

    async def begin(self, session: Session, *, user_id: str, account: str) -> Enrolment:
        """A new secret that waits to be confirmed. Raises `Conflict` when a factor is enrolled already."""
        secret = new_secret()
        if not await store.keep_waiting(session, user_id, self._locker.lock(secret, bound=_bound(user_id))):
            raise Conflict("a second factor is enrolled already; remove it first", code="factor_exists")
        uri = enrolment_uri(secret, account=account, issuer=self._issuer)
        return Enrolment(otpauth_uri=uri, secret=secret_text(secret))

    async def confirm(self, session: Session, caller: Caller, code: str) -> tuple[str, ...]:
        """From now on signing in asks for a code. Returns the recovery codes, which are shown this once."""
        user_id = caller.actor.id
        factor = await store.find(session, user_id)
        if factor is None:
            raise Conflict("begin the enrolment first", code="factor_not_begun")
        if factor.is_confirmed:
            raise Conflict("a second factor is enrolled already; remove it first", code="factor_exists")
        step = self._step(user_id, factor, code)
        if step is None:
            raise Invalid("the code does not hold; is the device's clock right?", code="invalid_otp")
        if not await store.confirm(session, user_id, locked_secret=factor.locked_secret, step=step):
            raise Conflict("the enrolment was begun anew meanwhile", code="factor_not_begun")
        codes = new_recovery_codes()
        hashes = [hashed for one in codes if (hashed := recovery_hash(user_id, one)) is not None]
        await store.set_recovery_codes(session, user_id, hashes)
        event = event_of(caller, FactorEnrolled(user_id=user_id), subject=f"user/{user_id}", severity="warning")
        await outbox.emit(session, event)
        await note_notice(session, caller, user_id=user_id, kind="factor_enrolled")
        return codes

    async def prove(self, session: Session, caller: Caller, *, user_id: str, code: str | None) -> Proof:
        """What a user's second factor says to a sign-in whose password was right. A code that holds is used up."""
        factor = await store.find(session, user_id)
        if factor is None or not factor.is_confirmed:
            return "not_enrolled"
        if code is None:
            return "missing"
        step = self._step(user_id, factor, code)
        if step is not None:
            return "code" if await store.use_step(session, user_id, step) else "wrong"
        return "recovery_code" if await self._use_recovery_code(session, caller, user_id, code) else "wrong"

    async def remove(self, session: Session, caller: Caller) -> bool:
        """Signing in asks for no code any more; False when it did not anyway, which leaves no event."""
        user_id = caller.actor.id
        if not await store.remove(session, user_id):
            return False
        event = event_of(caller, FactorRemoved(user_id=user_id), subject=f"user/{user_id}", severity="warning")
        await outbox.emit(session, event)
        await note_notice(session, caller, user_id=user_id, kind="factor_removed")
        return True

    def _step(self, user_id: str, factor: Factor, code: str) -> int | None:
        try:
            secret = self._locker.unlock(factor.locked_secret, bound=_bound(user_id))
        except NotSealed:
            # The key file is another one, or the row was tampered with. Recovery codes still let their owner in.
            log.error("a second factor cannot be read", user_id=user_id)
            return None
        return matching_step(secret, digits_of(code), now=self._clock(), last_step=factor.last_step)

    async def _use_recovery_code(self, session: Session, caller: Caller, user_id: str, code: str) -> bool:
        hashed = recovery_hash(user_id, code)
        left = await store.use_recovery_code(session, user_id, hashed) if hashed is not None else None
        if left is None:
            return False
        data = RecoveryCodeUsed(user_id=user_id, codes_left=left)
        await outbox.emit(session, event_of(caller, data, subject=f"user/{user_id}", severity="warning"))
        await note_notice(session, caller, user_id=user_id, kind="recovery_code_used")
        return True


def _bound(user_id: str) -> bytes:
    return b"totp\0" + user_id.encode()
