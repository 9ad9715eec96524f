"""One connection to RabbitMQ that comes back by itself, and the channels opened on it.

aio-pika's robust connection restores the connection; channels and consumers are opened anew by those
who use them. Its robust channels would re-declare every queue, which a user without configure rights
may not do, and would hand out deliveries of a channel that is gone.
"""

import asyncio
import contextlib
import logging
import random
from types import TracebackType
from typing import Any, cast

import aiormq.connection
from aio_pika.robust_connection import RobustConnection
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError
from yarl import URL

from libs.common import logs
from libs.common.broker import tolerance

HEARTBEAT_SECONDS = 10
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
POLL_SECONDS = 0.02
FRAMES_BUFFERED = 512
"""Frames that wait between a connection and one of its channels, in each direction."""
TAKE_AT_ONCE = "take_at_once"

# Silence of the broker is noticed after 2 x (10 + 1) seconds; the library's own factor of 3 would take 33.
aiormq.connection.Connection.HEARTBEAT_GRACE_MULTIPLIER = 2
# With the library's 10 frames each publish waits for the channel's lock and for the writer: a quarter slower.
aiormq.connection.Connection.FRAME_BUFFER_SIZE = FRAMES_BUFFERED
tolerance.install()


class _Taken:
    """What stands for the task of a consumer that has done its work already."""

    def add_done_callback(self, _: object) -> None:
        """There is nothing to wait for."""


TAKEN = _Taken()


class QuickChannel(Channel):
    """Hands a message to a consumer named `take_at_once` without a task for it: a fifth of what a message costs."""

    def create_task(self, coro: Any) -> Any:
        """The library's task, or none for a consumer that never waits."""
        if coro.__name__ != TAKE_AT_ONCE:
            return super().create_task(coro)
        try:
            coro.send(None)
        except StopIteration:
            return TAKEN
        raise RuntimeError(f"{TAKE_AT_ONCE} must not wait")


setattr(aiormq.connection, "Channel", QuickChannel)  # noqa: B010 - the library names the class in one place only
# The libraries log each try to reconnect as an error with its traceback; `Link` says it in one line.
for library in ("aiormq", "aio_pika"):
    logging.getLogger(library).setLevel(logging.CRITICAL)

log = logs.get("broker")


class _BrokerErrors:
    """Turns what the libraries raise for a broken connection or channel into ConnectionError.

    When a connection dies, aiormq throws CancelledError or a bare Exception into those who wait on it.
    A cancellation that nobody asked of this task is therefore an error of the connection.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        match error:
            case None | OSError() | DeliveryError() | ValueError() | TypeError():
                return
            case asyncio.CancelledError():
                task = asyncio.current_task()
                if task is not None and not task.cancelling():
                    raise ConnectionError("the connection to the broker broke") from error
            case Exception():
                raise ConnectionError(f"{type(error).__name__}: {error}") from error
            case _:
                return


BROKER_ERRORS = _BrokerErrors()
"""Wraps every call into the libraries; without state, so that the hot path makes no object for it."""


class JitteredConnection(RobustConnection):
    """A robust connection whose pauses between tries differ, so that a restarted broker is not stormed."""

    @property
    def reconnect_interval(self) -> float:
        """Seconds until the next try, drawn anew each time."""
        return random.uniform(0.2, 2.0)  # noqa: S311

    @reconnect_interval.setter
    def reconnect_interval(self, _: Any) -> None:
        """The library's own constant pause is not used."""


class Link:
    """One connection, opened once and restored until `close`."""

    def __init__(self, url: str, *, name: str) -> None:
        timed = URL(url).update_query(heartbeat=HEARTBEAT_SECONDS, name=name)
        self._connection = JitteredConnection(timed)
        self._connection.close_callbacks.add(self._on_loss)
        self._connection.reconnect_callbacks.add(self._on_restored)
        self._name = name
        self._was_connected = False
        self.is_closed = False

    async def open(self) -> None:
        """Connect for the first time; raises ConnectionError or TimeoutError, and then leaves nothing open."""
        try:
            with BROKER_ERRORS:
                await self._connection.connect(timeout=CONNECT_SECONDS)
        except BaseException:
            self.is_closed = True
            await self._connection.close()
            raise
        self._was_connected = True

    def _on_loss(self, _: object, error: BaseException | None) -> None:
        """Called for every failed try too; only the first loss is news."""
        if self._was_connected and not self.is_closed:
            log.warning(
                "connection to the broker lost", connection=self._name, error=(str(error) or type(error).__name__)[:200]
            )
        self._was_connected = False

    def _on_restored(self, _: object) -> None:
        self._was_connected = True
        log.info("connection to the broker restored", connection=self._name)

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands now; a silent broker is noticed by the heartbeat."""
        transport = self._connection.transport
        connected = self._connection.connected.is_set() and transport is not None and transport.connection.is_opened
        return connected and not self.is_closed

    async def channel(self, *, confirms: bool) -> Channel:
        """A new channel; waits for a connection that is being restored, at most `CONNECT_SECONDS`.

        Raises ConnectionError or TimeoutError.
        """
        async with asyncio.timeout(CONNECT_SECONDS):
            with BROKER_ERRORS:
                while not self.is_connected:
                    if self.is_closed:
                        raise ConnectionError("the transport is closed")
                    await asyncio.sleep(POLL_SECONDS)
                transport = self._connection.transport
                assert transport is not None
                channel = await transport.connection.channel(
                    publisher_confirms=confirms, on_return_raises=confirms, frame_buffer_size=FRAMES_BUFFERED
                )
                return cast(Channel, channel)

    async def close(self) -> None:
        """Close within `CLOSE_SECONDS`, whatever the broker does."""
        self.is_closed = True
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                with BROKER_ERRORS:
                    await self._connection.close()


async def close_channel(channel: Channel) -> None:
    """Close a channel that may be gone already, within `CLOSE_SECONDS`."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(CLOSE_SECONDS):
            with BROKER_ERRORS:
                await channel.close()
