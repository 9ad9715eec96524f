"""Failed sign-ins lock, and nobody is locked out for long by others."""

import asyncio

import httpx
import pytest

from tests.integration.gateway.access.door import PASSWORD, SUPER_ADMIN, Door


async def test_the_fifth_failure_from_one_place_locks_it_for_that_account(door: Door) -> None:
    for _ in range(5):
        assert (await fail(door)).status_code == 401
    locked = await fail(door)
    assert (locked.status_code, locked.json()["detail"]["error"]) == (429, "account_locked")
    assert 1 <= int(locked.headers["retry-after"]) <= 30
    assert (await succeed(door)).status_code == 429
    (event,) = await door.events("reeve.sign_in.locked.v1")
    assert (event.data["scope"], event.data["failures"], event.data["seconds"]) == ("place", 5, 30)
    assert (event.data["tried_email"], event.severity) == ("f***@example.com", "warning")


async def test_the_owner_elsewhere_and_others_here_are_not_locked(door: Door) -> None:
    await door.make_user(role="viewer", email="other@example.com")
    for _ in range(6):
        await fail(door)
    assert (await succeed(door, email="other@example.com")).status_code == 200
    assert (await succeed(door, address="198.51.100.20")).status_code == 200


async def test_an_address_without_an_account_is_locked_alike(door: Door) -> None:
    answers = [
        [(one.status_code, one.json()) for one in [await fail(door, email=email) for _ in range(6)]]
        for email in (SUPER_ADMIN, "nobody@example.com")
    ]
    assert answers[0] == answers[1]


async def test_guesses_from_everywhere_lock_the_account_but_not_where_its_owner_was(door: Door) -> None:
    await succeed(door)
    for number in range(20):
        assert (await fail(door, address=f"198.51.100.{number}")).status_code == 401
    locked = await fail(door, address="198.51.100.77")
    assert (locked.status_code, locked.json()["detail"]["error"]) == (429, "account_locked")
    assert int(locked.headers["retry-after"]) <= 5
    assert (await succeed(door)).status_code == 200


async def test_a_success_starts_the_count_of_its_place_anew(door: Door) -> None:
    for _ in range(3):
        for _ in range(4):
            assert (await fail(door)).status_code == 401
        assert (await succeed(door)).status_code == 200


async def test_failures_at_the_same_moment_all_count(door: Door) -> None:
    await asyncio.gather(*(fail(door) for _ in range(8)))
    (row,) = await door.run_sql("SELECT max(failures) AS failures FROM sign_in_failures")
    assert row.failures == 8
    assert (await succeed(door)).status_code == 429


@pytest.mark.parametrize(("age", "failures"), [("23 hours", 6), ("25 hours", 1)])
async def test_a_lock_ends_and_old_failures_are_forgotten(door: Door, age: str, failures: int) -> None:
    for _ in range(5):
        await fail(door)
    await door.run_sql(f"UPDATE sign_in_failures SET locked_until = now(), last_at = now() - interval '{age}'")
    assert (await fail(door)).status_code == 401
    (row,) = await door.run_sql("SELECT min(failures) AS failures FROM sign_in_failures")
    assert row.failures == failures


async def test_a_locked_try_costs_no_hashing_and_leaves_no_failure(door: Door) -> None:
    for _ in range(5):
        await fail(door)
    before = len(await door.events("reeve.sign_in.failed.v1"))
    door.access.passwords.close()
    assert (await fail(door)).status_code == 429
    assert len(await door.events("reeve.sign_in.failed.v1")) == before


async def fail(door: Door, *, email: str = SUPER_ADMIN, address: str = "203.0.113.7") -> httpx.Response:
    """Try a wrong password."""
    return await _try(door, email=email, password="not the password", address=address)


async def succeed(door: Door, *, email: str = SUPER_ADMIN, address: str = "203.0.113.7") -> httpx.Response:
    """Try the right password."""
    return await _try(door, email=email, password=PASSWORD, address=address)


async def _try(door: Door, *, email: str, password: str, address: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=door.watch, client=(address, 4321))
    async with httpx.AsyncClient(transport=transport, base_url="http://reeve.test") as client:
        return await client.post("/api/v1/admin/auth/login", json={"email": email, "password": password})
