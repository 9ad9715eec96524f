"""A service as its composition root hands it to whoever runs it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import FastAPI


class Pools(Protocol):
    """The database of a service, as far as its runner needs it."""

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


async def _nothing() -> None:
    return None


@dataclass(slots=True)
class Service:
    """What runs together: the application, and tasks that live as long as the process.

    `close` is called once, after the application and all tasks have ended; `database` is closed after it.
    """

    name: str
    app: FastAPI
    tasks: Sequence[Callable[[], Awaitable[None]]] = field(default_factory=tuple)
    database: Pools | None = None
    close: Callable[[], Awaitable[None]] = _nothing
