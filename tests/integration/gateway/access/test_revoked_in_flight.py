"""What is taken back while hundreds of requests are on their way: whoever asks after the answer is refused.

A request that had begun may end as it was let in. One that begins once the change was answered may not, though others
keep the caches of the same gateway warm, and have it look the caller up at that very moment.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from libs.common.database.engine import Database, Session
from tests.integration.gateway.access.door import Door, open_door
from tests.support.postgres import PlatformDatabase

IN_FLIGHT = 200
CHANGES: dict[str, tuple[str, str, dict[str, Any] | None, int]] = {
    "sessions ended": ("DELETE", "/users/{id}/sessions", None, 401),
    "role lowered": ("PUT", "/users/{id}/role", {"role": "viewer"}, 403),
    "switched off": ("PUT", "/users/{id}/status", {"is_active": False, "reason": "left the house"}, 401),
}
"""How each is asked for, and what its subject's writes are answered from then on."""


@dataclass(slots=True)
class Crowd:
    """Many who write with one token, again and again, until they began after the change."""

    door: Door
    token: str
    user_id: str
    is_taken_back: bool = False
    before: Counter[int] = field(default_factory=Counter)
    after: Counter[int] = field(default_factory=Counter)
    warm: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, number: int) -> None:
        """Ask until one request began after the change; every tenth has the caller looked up anew."""
        for turn in count():
            began_after = self.is_taken_back
            if (number + turn) % 10 == 0:
                self.door.access.evict(user_id=self.user_id)
            answer = await self.door.call("PUT", f"/samples/{number}", token=self.token, json={"a": 1})
            (self.after if began_after else self.before)[answer.status_code] += 1
            if self.before[200] >= IN_FLIGHT:
                self.warm.set()
            if began_after:
                return

    async def take_back(self, method: str, path: str, body: dict[str, Any] | None) -> None:
        """Make the change while everybody is on their way."""
        above = await self.door.token_of("super_admin")
        await self.warm.wait()
        answer = await self.door.call(method, path.format(id=self.user_id), token=above, json=body)
        assert answer.status_code in (200, 204), answer.text
        self.is_taken_back = True


@pytest.mark.parametrize("change", CHANGES)
async def test_nobody_who_asks_after_the_answer_gets_in(door: Door, change: str) -> None:
    method, path, body, refusal = CHANGES[change]
    token = await door.token_of("admin")
    crowd = Crowd(door, token, (await door.call("GET", "/auth/me", token=token)).json()["id"])
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        tasks.create_task(crowd.take_back(method, path, body))
        for number in range(IN_FLIGHT):
            tasks.create_task(crowd.write(number))
    assert crowd.before[200] >= IN_FLIGHT
    assert set(crowd.before) <= {200, refusal}
    assert crowd.after == {refusal: IN_FLIGHT}


class Held(Database):
    """A database whose next reading has been made, and is not told of before `go_on`."""

    is_armed = False

    def arm(self) -> None:
        """Hold the next reading."""
        self.is_armed, self.was_made, self.go_on = True, asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        async with super().reading() as session:
            holds, self.is_armed = self.is_armed, False
            yield session
            if holds:
                self.was_made.set()
                await self.go_on.wait()


@pytest.mark.parametrize("change", CHANGES)
async def test_a_lookup_that_a_change_overtook_is_believed_for_its_own_request_alone(
    platform_db: Callable[..., Awaitable[PlatformDatabase]], change: str
) -> None:
    """On another gateway than the one that makes the change, which hears of it while the lookup is on its way."""
    method, path, body, refusal = CHANGES[change]
    platform = await platform_db("gateway")
    slow = Held(platform.urls["gateway"], schema="gateway", application="test")
    database = platform.database("gateway")
    async with open_door(database) as there, open_door(slow) as here:
        token, above = await there.token_of("admin"), await there.token_of("super_admin")
        user_id = (await there.call("GET", "/auth/me", token=token)).json()["id"]
        # What all requests need is known here already: the next reading is that of the caller.
        assert (await here.call("GET", "/auth/me", token=above)).status_code == 200
        slow.arm()
        asked = asyncio.create_task(here.call("PUT", "/samples/1", token=token, json={"a": 1}))
        await slow.was_made.wait()
        answer = await there.call(method, path.format(id=user_id), token=above, json=body)
        assert answer.status_code in (200, 204), answer.text
        for event in await there.events():
            here.access.apply_event(event)
        slow.go_on.set()
        assert (await asked).status_code == 200
        assert (await here.call("PUT", "/samples/1", token=token, json={"a": 1})).status_code == refusal
    await slow.close()
    await database.close()
