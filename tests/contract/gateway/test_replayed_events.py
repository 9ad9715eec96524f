"""The same event posted once more: it is answered the same, and nothing comes of it; whenever, and by whichever process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from libs.common.database import inbox
from libs.common.delivery.subscriber import INBOX_DAYS, MOST_INBOX_ROWS
from libs.common.ids import new_id
from tests.contract.conftest import SERVICES
from tests.support.eventually import eventually
from tests.support.house import ADMIN, House, open_house
from tests.support.postgres import PlatformDatabases

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
AT_ONCE = 40


def an_event(event_id: str | None = None, **given: Any) -> dict[str, Any]:
    event_id = event_id or new_id()
    return {
        "specversion": "1.0", "id": event_id, "source": "/platform/shop", "type": "platform.import.failed.v1",
        "subject": f"import/{event_id}", "data": {"store_name": "Rose & Co"}, **given,
    }  # fmt: skip


@pytest.fixture(scope="module")
async def own(
    platform_databases: PlatformDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[House]]:
    """A platform that a test may stop and start again: the last one is the running one."""
    database = await platform_databases.make(*SERVICES)
    folder: Path = tmp_path_factory.mktemp("platform")
    houses = [await asyncio.to_thread(open_house, database, folder)]
    yield houses
    await asyncio.to_thread(houses[-1].stop)
    await platform_databases.give_back(database)


async def restart(own: list[House]) -> None:
    """Stop all four services, and start them on what they left."""
    old = own[-1]
    await asyncio.to_thread(old.stop)
    own.append(await asyncio.to_thread(open_house, old.database, old.keys.parent))


async def grow_old(house: House, days: float) -> None:
    """Let days pass in the gateway's inbox, and purge it."""
    connection = await asyncpg.connect(house.database.admin_url)
    await connection.execute(
        "UPDATE gateway.inbox_foreign SET seen_at = seen_at - make_interval(secs => $1 * 86400)", days
    )
    await connection.close()
    database = house.database.database("gateway")
    async with database.transaction() as session:
        await inbox.prune(session, most_rows=MOST_INBOX_ROWS, older_than_days=INBOX_DAYS)
    await database.close()


async def post(house: House, *events: dict[str, Any]) -> httpx.Response:
    headers = {"authorization": f"Bearer {await asyncio.to_thread(house.token, 'client')}"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=30, verify=False) as http:
        if len(events) == 1:
            return await http.post("/api/v1/events", json=events[0], headers={"content-type": STRUCTURED})
        return await http.post("/api/v1/events", json=list(events), headers={"content-type": BATCH})


async def effects(house: House, event_id: str) -> tuple[int, int]:
    """How many entries and notifications there are of an event, once a later one has them."""
    mark = new_id()
    assert (await post(house, an_event(mark))).status_code == 202
    headers = {"authorization": f"Bearer {await asyncio.to_thread(house.token, 'super_admin')}"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=30, verify=False) as http:

        async def found(of: str) -> tuple[int, int]:
            logs = (await http.get(f"{ADMIN}/audit/logs", params={"target_id": of})).json()["logs"]
            told = (await http.get(f"{ADMIN}/notifications", params={"limit": 200})).json()["notifications"]
            return len(logs), len([one for one in told if one["notification_metadata"].get("event_id") == of])

        async def is_there() -> bool:
            return await found(mark) == (1, 1)

        await eventually(is_there)
        return await found(event_id)


@pytest.mark.parametrize("days", [0.0, 6 / 1440, INBOX_DAYS - 0.01], ids=["at once", "six minutes later", "a purge"])
async def test_an_event_that_is_posted_again_is_answered_alike_and_taken_once(own: list[House], days: float) -> None:
    event = an_event()
    first = await post(own[-1], event)
    await grow_old(own[-1], days)
    again = await post(own[-1], event)
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (202, {"accepted": 1})
    assert await effects(own[-1], event["id"]) == (1, 1)


async def test_an_event_that_is_posted_again_after_a_restart_is_taken_once(own: list[House]) -> None:
    event = an_event()
    assert (await post(own[-1], event)).status_code == 202
    await restart(own)
    assert (await post(own[-1], event)).status_code == 202
    assert await effects(own[-1], event["id"]) == (1, 1)


async def test_of_many_at_once_one_is_taken(own: list[House]) -> None:
    event = an_event()
    answers = await asyncio.gather(*(post(own[-1], event) for _ in range(AT_ONCE)))
    assert {answer.status_code for answer in answers} == {202}
    assert await effects(own[-1], event["id"]) == (1, 1)


async def test_of_a_batch_what_is_new_is_taken(own: list[House]) -> None:
    known, new = an_event(), an_event()
    await post(own[-1], known)
    answer = await post(own[-1], known, new)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
    assert await effects(own[-1], known["id"]) == (1, 1)
    assert await effects(own[-1], new["id"]) == (1, 1)
