"""Signing keys on a real Postgres: taken in, changed, learned of, and unreadable to whoever has the database alone."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.database.engine import Database
from libs.common.errors import ConfigError, Unauthenticated, Unavailable
from libs.common.sealing import Locker
from services.gateway.access import keyring, signing
from services.gateway.access.keyring import MOST_KEYS, private_key
from services.gateway.access.sessions import AccessControl
from services.gateway.access.signing import SigningKeys, adopt, rotate
from tests.integration.gateway.access.door import KEY, SUPER_ADMIN, Door, new_door_access
from tests.support.eventually import eventually

LOCKER = Locker(b"l" * 32)
KID = private_key(keyring.raw_private(KEY)).kid


async def a_gateway(database: Database) -> tuple[AccessControl, SigningKeys]:
    """One gateway instance that has taken its key file in."""
    access = new_door_access(database)
    keys = SigningKeys(database, access.tokens, LOCKER)
    access.keys = keys
    await adopt(database, LOCKER, KEY)
    await keys.load()
    return access, keys


def kids_of(access: AccessControl) -> list[str]:
    return [one["kid"] for one in access.tokens.published_keys()]


async def test_the_key_file_is_taken_in_once_and_without_noise(door: Door) -> None:
    before = len(await door.events())
    access, _ = await a_gateway(door.database)
    await asyncio.gather(*(adopt(door.database, LOCKER, KEY) for _ in range(3)))
    assert kids_of(access) == [KID]
    assert len(await door.run_sql("SELECT kid FROM signing_keys")) == 1
    assert len(await door.events()) == before


async def test_a_change_refuses_nobody_and_tells_of_itself(door: Door) -> None:
    access, keys = await a_gateway(door.database)
    token = str((await door.sign_in())["access_token"])
    kid, signs_from = await rotate(door.database, LOCKER, now=datetime.now(UTC), revokes=False)
    assert signs_from - datetime.now(UTC) > timedelta(seconds=signing.LEAD_SECONDS - 20)
    await keys.load()
    assert kids_of(access) == [kid, KID]
    assert (await access.authenticate(token)).username == SUPER_ADMIN
    (event,) = await door.events("reeve.signing_key.rotated.v1")
    assert (event.data["kid"], event.data["revokes_older"], event.actortype) == (kid, False, "system")
    (old,) = await door.run_sql(
        "SELECT verifies_until, extract(epoch FROM verifies_until - now())::int AS seconds FROM signing_keys"
        " WHERE kid = :kid",
        kid=KID,
    )
    assert old.seconds == pytest.approx(signing.LEAD_SECONDS + 900 + signing.GRACE_SECONDS, abs=20)


async def test_a_change_that_revokes_ends_the_old_tokens_and_no_session(door: Door) -> None:
    access, keys = await a_gateway(door.database)
    door.access.keys = SigningKeys(door.database, door.access.tokens, LOCKER)
    tokens = await door.sign_in()
    await access.authenticate(tokens["access_token"])
    kid, _ = await rotate(door.database, LOCKER, now=datetime.now(UTC), revokes=True)
    await keys.load()
    await door.access.keys.look_again()
    with pytest.raises(Unauthenticated):
        await access.authenticate(tokens["access_token"])
    refreshed = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 200
    assert (await access.authenticate(refreshed.json()["access_token"])).username == SUPER_ADMIN
    assert kids_of(access) == [kid]
    (row,) = await door.run_sql("SELECT locked_key FROM signing_keys WHERE kid = :kid", kid=KID)
    assert row.locked_key is None


async def test_a_gateway_that_did_not_hear_of_a_key_learns_of_it_from_its_first_token(door: Door) -> None:
    ahead, keys = await a_gateway(door.database)
    behind, _ = await a_gateway(door.database)
    await rotate(door.database, LOCKER, now=datetime.now(UTC), revokes=True)
    await keys.load()
    door.access.tokens.use(ahead.tokens._ring)
    token = str((await door.sign_in())["access_token"])
    assert (await behind.authenticate(token)).username == SUPER_ADMIN


async def test_a_flood_of_made_up_keys_costs_one_look_a_second(door: Door) -> None:
    access, keys = await a_gateway(door.database)
    stranger = [Ed25519PrivateKey.generate() for _ in range(50)]
    looks = 0
    load = keys.load

    class Counting(SigningKeys):
        async def load(self) -> None:
            nonlocal looks
            looks += 1
            await load()

    clock = [100.0]
    access.keys = Counting(door.database, access.tokens, LOCKER, clock=lambda: clock[0])
    made = []
    for key in stranger:
        forger = new_door_access(door.database)
        forger.tokens.use(keyring.ring_of(key))
        made.append(forger.tokens.for_client(client_id="ghost", scope="").text)
    answers = await asyncio.gather(*(access.authenticate(one) for one in made), return_exceptions=True)
    assert all(isinstance(one, Unauthenticated) for one in answers)
    assert looks == 1
    clock[0] += signing.LOOK_SECONDS
    with pytest.raises(Unauthenticated):
        await access.authenticate(made[0])
    assert looks == 2


async def test_the_event_wakes_whoever_keeps_up(door: Door) -> None:
    access, keys = await a_gateway(door.database)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(keys.run())
        kid, _ = await rotate(door.database, LOCKER, now=datetime.now(UTC), revokes=False)
        keys.wake()
        await eventually(lambda: kid in kids_of(access), within_seconds=5)
        running.cancel()


async def test_another_key_file_is_a_change_of_keys(door: Door) -> None:
    access, keys = await a_gateway(door.database)
    token = str((await door.sign_in())["access_token"])
    other = Ed25519PrivateKey.generate()
    await adopt(door.database, LOCKER, other)
    await adopt(door.database, LOCKER, KEY)  # The gateway that still has the old file changes nothing back.
    await keys.load()
    assert access.tokens._ring.signing(datetime.now(UTC).timestamp()).kid == kids_of(access)[0] != KID
    assert (await access.authenticate(token)).username == SUPER_ADMIN
    assert len(await door.events("reeve.signing_key.rotated.v1")) == 1


async def test_keys_that_verify_are_bounded(door: Door) -> None:
    await a_gateway(door.database)
    for _ in range(MOST_KEYS - 1):
        await rotate(door.database, LOCKER, now=datetime.now(UTC), revokes=False)
    with pytest.raises(ConfigError, match="at most 16"):
        await rotate(door.database, LOCKER, now=datetime.now(UTC), revokes=False)
    await rotate(door.database, LOCKER, now=datetime.now(UTC), revokes=True)


async def test_the_database_alone_signs_nothing(door: Door) -> None:
    await a_gateway(door.database)
    stored = (await door.run_sql("SELECT locked_key, public_key FROM signing_keys"))[0]
    assert keyring.raw_private(KEY) not in bytes(stored.locked_key)
    assert keyring.raw_private(KEY).hex() not in str(await door.run_sql("SELECT s::text FROM signing_keys s"))
    robbed = new_door_access(door.database)
    keys = SigningKeys(door.database, robbed.tokens, Locker(b"?" * 32))
    await keys.load()
    # What was signed is still verified, by the public half alone.
    assert (await robbed.authenticate(str((await door.sign_in())["access_token"]))).username == SUPER_ADMIN
    with pytest.raises(Unavailable):
        robbed.tokens.for_client(client_id="shop", scope="")


async def test_a_locked_key_opens_only_under_its_own_name(door: Door) -> None:
    await a_gateway(door.database)
    kid, _ = await rotate(door.database, LOCKER, now=datetime.now(UTC), revokes=False)
    await door.run_sql(
        "UPDATE signing_keys SET locked_key = (SELECT locked_key FROM signing_keys WHERE kid = :old) WHERE kid = :new",
        old=KID, new=kid,
    )  # fmt: skip
    access = new_door_access(door.database)
    await SigningKeys(door.database, access.tokens, LOCKER).load()
    able = {key.kid: key.can_sign for key in access.tokens._ring.keys}
    assert able == {KID: True, kid: False}
