"""Many writers at once: one winner per version, and nothing lost."""

import asyncio
from collections.abc import Awaitable
from itertools import pairwise

from libs.common.errors import ReeveError
from libs.common.events.envelope import Event
from tests.integration.settings.conftest import SettingsUnderTest

AT_ONCE = 15


async def test_of_a_hundred_changes_to_a_version_one_wins(settings: SettingsUnderTest) -> None:
    await settings.create("counter", 0, "integer")
    for version in (1, 2, 3):
        ended = await all_of([settings.change("counter", number, version=version) for number in range(100)])
        winners = [one for one in ended if isinstance(one, Event)]
        refused = {one.code for one in ended if isinstance(one, ReeveError)}
        assert [one.data["version"] for one in winners] == [version + 1]
        assert refused == {"version_conflict"}
    assert len(await settings.rows("SELECT FROM setting_history")) == 4


async def test_changes_without_a_version_all_apply_in_a_row(settings: SettingsUnderTest) -> None:
    await settings.create("counter", 0, "integer")
    ended = await all_of([settings.change("counter", number) for number in range(1, 101)])
    events = [one for one in ended if isinstance(one, Event)]
    assert sorted(one.data["version"] for one in events) == list(range(2, 102))
    told = [one["data"] for one in await settings.announced()]
    assert [data["version"] for data in told] == list(range(1, 102))
    for before, after in pairwise(told):
        assert after["changes"]["value"]["old"] == before["changes"]["value"]["new"]


async def test_of_many_creations_one_wins(settings: SettingsUnderTest) -> None:
    ended = await all_of([settings.create("theme", f"number {number}") for number in range(50)])
    assert sum(isinstance(one, Event) for one in ended) == 1
    assert {one.code for one in ended if isinstance(one, ReeveError)} == {"setting_exists"}
    assert len(await settings.announced()) == 1


async def test_many_upserts_of_one_key_all_apply(settings: SettingsUnderTest) -> None:
    ended = await all_of([settings.upsert("theme", f"number {number}") for number in range(50)])
    assert sorted(one.data["version"] for one in ended if isinstance(one, Event)) == list(range(1, 51))
    assert len([one for one in await settings.announced() if one["type"] == "reeve.setting.created.v1"]) == 1


async def test_changes_race_a_deletion_and_none_survives_it(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    writes: list[Awaitable[Event]] = [settings.change("theme", f"number {number}") for number in range(40)]
    writes.insert(20, settings.delete("theme"))
    ended = await all_of(writes)
    assert {one.code for one in ended if isinstance(one, ReeveError)} <= {"setting_not_found"}
    assert not await settings.rows("SELECT FROM settings")
    steps = [row["step"] for row in await settings.rows("SELECT step FROM setting_history ORDER BY version")]
    assert steps[-1] == "deleted"
    assert steps.count("deleted") == 1


async def all_of(writes: list[Awaitable[Event]]) -> list[Event | ReeveError]:
    """Run them all, 15 at a time, each in its own transaction; outcomes and refusals."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(write: Awaitable[Event]) -> Event | ReeveError:
        async with gate:
            try:
                return await write
            except ReeveError as error:
                return error

    return await asyncio.gather(*(one(write) for write in writes))
