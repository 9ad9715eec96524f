"""While nothing can be recorded nothing is served; kept answers of idempotency keys are unreadable at rest."""

import asyncio

import asyncpg
import httpx

from libs.common.ids import new_id
from tests.support.house import ADMIN, House


async def _statuses(house: House) -> dict[str, tuple[int, str]]:
    async with httpx.AsyncClient(base_url=house.url, timeout=20) as http:
        bearer = {"authorization": f"Bearer {house.token('super_admin')}"}
        calls = {
            "read": http.get(f"{ADMIN}/settings", headers=bearer),
            "denied": http.get(f"{ADMIN}/settings"),
            "command": http.put(f"{ADMIN}/settings/store_trial_days", json={"value": 31}, headers=bearer),
        }
        answers = await asyncio.gather(*calls.values())
    return {name: (answer.status_code, answer.text) for name, answer in zip(calls, answers, strict=True)}


async def test_nothing_is_served_while_nothing_can_be_recorded(house: House) -> None:
    house.token("super_admin")
    connection = await asyncpg.connect(house.database.admin_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE gateway.outbox IN ACCESS EXCLUSIVE MODE")
            found = await _statuses(house)
    finally:
        await connection.close()
    assert {name: status for name, (status, _) in found.items()} == {"read": 503, "denied": 503, "command": 503}
    assert not any("max_stores_allowed" in body for _, body in found.values())
    after = await _statuses(house)
    assert {name: status for name, (status, _) in after.items()} == {"read": 200, "denied": 401, "command": 200}


async def test_a_kept_answer_is_unreadable_and_bound_to_its_place(house: House) -> None:
    key, other = new_id(), new_id()
    body = {"name": "Kept", "source": f"/platform/{key}"}
    connection = await asyncpg.connect(house.database.admin_url)
    with house.client() as http:
        made = http.post(f"{ADMIN}/clients", json=body, headers={"idempotency-key": key})
        again = http.post(f"{ADMIN}/clients", json=body, headers={"idempotency-key": f'"{key}"'})
        assert (made.status_code, again.status_code, again.content) == (201, 201, made.content)
        assert again.headers["idempotency-replayed"] == "true"
        changed = http.post(f"{ADMIN}/clients", json={**body, "name": "Other"}, headers={"idempotency-key": key})
        assert (changed.status_code, changed.json()["detail"]["error"]) == (422, "idempotency_key_reused")
        kept = await connection.fetchrow("SELECT * FROM gateway.idempotency_keys WHERE key = $1", key)
        assert made.json()["client_secret"].encode() not in b"".join(one for one in kept if isinstance(one, bytes))
        # A row that was moved to another key of the same caller opens for nobody.
        await connection.execute("UPDATE gateway.idempotency_keys SET key = $2 WHERE key = $1", key, other)
        moved = http.post(f"{ADMIN}/clients", json=body, headers={"idempotency-key": other})
        assert moved.status_code == 500
        assert made.json()["client_secret"] not in moved.text
        await connection.execute("DELETE FROM gateway.idempotency_keys WHERE key = $1", other)
    await connection.close()


async def test_two_requests_with_one_key_at_once_have_one_effect(house: House) -> None:
    key = new_id()
    body = {"type": "note", "title": f"Once {key}"}
    headers = {"authorization": f"Bearer {house.token('super_admin')}", "idempotency-key": key}
    async with httpx.AsyncClient(base_url=house.url, timeout=20) as http:
        answers = await asyncio.gather(
            *(http.post(f"{ADMIN}/notifications", json=body, headers=headers) for _ in range(8))
        )
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
        listed = await http.get(f"{ADMIN}/notifications?limit=200", headers={"authorization": headers["authorization"]})
    assert sum(one["title"] == body["title"] for one in listed.json()["notifications"]) == 1
