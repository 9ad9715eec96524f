"""What a process says that it waits for when its end hangs."""

import asyncio

from libs.common.web.under_way import under_way


async def _inner(gate: asyncio.Event) -> None:
    await gate.wait()


async def _outer(gate: asyncio.Event) -> None:
    await _inner(gate)


async def test_each_task_is_named_with_the_place_where_it_waits() -> None:
    gate = asyncio.Event()
    task = asyncio.create_task(_outer(gate), name="audit: archivist")
    await asyncio.sleep(0)
    (told,) = [one for one in under_way(asyncio.get_running_loop()) if one.startswith("audit: archivist at ")]
    assert " > _inner:" in told
    gate.set()
    await task
    assert not any("archivist" in one for one in under_way(asyncio.get_running_loop()))
