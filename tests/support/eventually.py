"""Waiting for something to become true, without guessing how long it takes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from time import monotonic


async def eventually(
    condition: Callable[[], object | Awaitable[object]],
    *,
    within_seconds: float = 10,
    every_seconds: float = 0.02,
) -> object:
    """Return the first true value of `condition`; fail when there was none within the time, or its last assertion.

    `condition` may be a coroutine function, may return a value or assert.
    """
    deadline = monotonic() + within_seconds
    while True:
        failure: AssertionError | None = None
        try:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
        except AssertionError as error:
            failure = error
        if monotonic() >= deadline:
            raise AssertionError(f"not within {within_seconds} s") from failure
        await asyncio.sleep(every_seconds)
