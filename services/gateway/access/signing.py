"""The signing keys of all gateways: kept in their schema, locked; each gateway keeps its ring in line with them.

A gateway learns of another key by its event, at the latest with the next look at the table, and at once when a
token names a key that it does not know. The key file `tokens.key` is the first key; the secret that locks the
private halves is a file as well, so that a copy of the database signs nothing.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common import logs
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import ConfigError, Unavailable
from libs.common.events.catalog import new_event
from libs.common.events.users import SigningKeyRotated
from libs.common.identity import ActorType
from libs.common.sealing import Locker, NotSealed
from services.gateway.access import keyring, store
from services.gateway.access.keyring import MOST_KEYS, KeyRing, RingKey
from services.gateway.access.store import StoredKey
from services.gateway.access.tokens import LIFETIME_SECONDS, Tokens

LEAD_SECONDS = 60
"""A new key is published this long before it signs."""
GRACE_SECONDS = 60
"""An old key verifies this much longer than its last token should live; what holds at once is dated back as much."""
POLL_SECONDS = 30.0
LOOK_SECONDS = 1.0
"""Unknown keys make a gateway look at the table at most this often."""

log = logs.get("signing")


class SigningKeys:
    """Keeps one gateway's `Tokens` in line with the table."""

    def __init__(
        self, database: Database, tokens: Tokens, locker: Locker, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._locker = locker
        self._clock = clock
        self._wake = asyncio.Event()
        self._looking = asyncio.Lock()
        self._looked_at = -LOOK_SECONDS

    async def load(self) -> None:
        """Use the keys of the table. Without any, those in use stay."""
        async with self._database.reading() as session:
            stored = await store.load_signing_keys(session)
        if stored:
            self._tokens.use(KeyRing(tuple(ring_key(one, self._locker) for one in stored)))

    async def look_again(self) -> None:
        """Look for a key that is not known here: one look a second, however many ask. Never raises `Unavailable`."""
        asked_at = self._clock()
        async with self._looking:
            if self._looked_at > asked_at or self._clock() - self._looked_at < LOOK_SECONDS:
                return
            self._looked_at = self._clock()
            try:
                await self.load()
            except Unavailable:
                log.warning("signing keys could not be read")

    def wake(self) -> None:
        """Look at the table now: an event said that it changed, or events may have been missed."""
        self._wake.set()

    async def run(self) -> None:
        """Keep up until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.load()
            except Unavailable:
                log.warning("signing keys could not be read")
                await asyncio.sleep(LOOK_SECONDS)
                self._wake.set()


def ring_key(stored: StoredKey, locker: Locker) -> RingKey:
    """A stored key, able to sign where it can be unlocked. Otherwise its tokens are verified all the same."""
    signs_from = stored.signs_from.timestamp()
    until = stored.verifies_until.timestamp() if stored.verifies_until is not None else None
    if stored.locked_key is not None:
        try:
            raw = locker.unlock(stored.locked_key, bound=_bound(stored.kid))
            return keyring.private_key(raw, signs_from=signs_from, verifies_until=until)
        except NotSealed:
            log.error("a signing key cannot be unlocked; restore gateway.signing or rotate the keys", kid=stored.kid)
    return keyring.public_key(stored.public_key, signs_from=signs_from, verifies_until=until)


async def adopt(database: Database, locker: Locker, key: Ed25519PrivateKey) -> None:
    """Take the key of the key file in, unless it is or was one of ours. Another file is another key: it signs at once."""
    kid = keyring.private_key(keyring.raw_private(key)).kid
    async with database.transaction() as session:
        await store.lock_signing_keys(session)
        if not await store.knows_signing_key(session, kid):
            await _append(session, locker, key, now=datetime.now(UTC), lead_seconds=-GRACE_SECONDS, revokes=False)


async def rotate(database: Database, locker: Locker, *, now: datetime, revokes: bool) -> tuple[str, datetime]:
    """A new key: its identifier, and when it begins to sign.

    Usually it is published first and the old ones verify until their last token ended. With `revokes` it signs at
    once and no token of an older key is believed any more: for keys that somebody may have seen.
    """
    async with database.transaction() as session:
        await store.lock_signing_keys(session)
        lead_seconds = -GRACE_SECONDS if revokes else LEAD_SECONDS
        new = Ed25519PrivateKey.generate()
        return await _append(session, locker, new, now=now, lead_seconds=lead_seconds, revokes=revokes)


async def _append(
    session: Session, locker: Locker, key: Ed25519PrivateKey, *, now: datetime, lead_seconds: int, revokes: bool
) -> tuple[str, datetime]:
    signs_from = now + timedelta(seconds=lead_seconds)
    # Clocks differ a little: what is to hold at once is dated back.
    until = signs_from if revokes else now + timedelta(seconds=max(lead_seconds, 0) + LIFETIME_SECONDS + GRACE_SECONDS)
    retired = await store.retire_signing_keys(session, verifies_until=until)
    if not revokes and len(await store.load_signing_keys(session)) >= MOST_KEYS:
        raise ConfigError(f"at most {MOST_KEYS} signing keys verify at a time; wait for the oldest to end")
    raw = keyring.raw_private(key)
    kid = keyring.private_key(raw).kid
    locked = locker.lock(raw, bound=_bound(kid))
    await store.append_signing_key(
        session, kid, public_key=keyring.raw_public(key), locked_key=locked, signs_from=signs_from
    )
    if retired:
        data = SigningKeyRotated(kid=kid, signs_from=signs_from, revokes_older=revokes)
        event = new_event(data, subject=f"signing_key/{kid}", actor_type=ActorType.SYSTEM, severity="warning")
        await outbox.emit(session, event)
    return kid, signs_from


def _bound(kid: str) -> bytes:
    return b"signing key " + kid.encode()
