"""What a loop waits for: said when the end of a process takes too long."""

import asyncio


def under_way(loop: asyncio.AbstractEventLoop) -> list[str]:
    """The tasks of a loop that have not ended, each with the place where it waits; from any thread."""
    return sorted(f"{task.get_name()} at {_place(task)}" for task in asyncio.all_tasks(loop))


def _place(task: "asyncio.Task[object]") -> str:
    """The innermost place of the chain of awaits that a task is in."""
    waits: object = task.get_coro()
    places = []
    while (frame := getattr(waits, "cr_frame", None)) is not None:
        places.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        waits = getattr(waits, "cr_await", None)
    return " > ".join(places[-3:]) or "no frame"
