"""Waiting for something to become true, without guessing how long it takes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from time import monotonic

FIRST_PAUSE_SECONDS = 0.001


async def eventually(
    condition: Callable[[], object | Awaitable[object]],
    *,
    within_seconds: float = 10,
    every_seconds: float = 0.02,
) -> object:
    """Return the first true value of `condition`; fail when there was none within the time, or its last assertion.

    `condition` may be a coroutine function, may return a value or assert. It is asked again after a millisecond,
    and then after pauses that double up to `every_seconds`.
    """
    pause = min(FIRST_PAUSE_SECONDS, every_seconds)
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
        await asyncio.sleep(pause)
        pause = min(2 * pause, every_seconds)
