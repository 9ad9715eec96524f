"""Fixtures around the broker: its URL, and a namespace of the test's own on it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aio_pika
import pytest

from libs.common.broker.declare import Names
from libs.common.broker.rabbitmq import RabbitTransport, connect_rabbitmq
from libs.common.broker.topology import QUEUES, Queue
from libs.common.ids import new_id
from tests.support.rabbitmq import found_rabbitmq, remove_namespace


@dataclass(slots=True)
class RabbitNamespace:
    """A prefix of one test's own on a shared broker, with the transports opened in it."""

    url: str
    namespace: str = field(default_factory=lambda: f"test-{new_id()[-12:]}")
    _opened: list[RabbitTransport] = field(default_factory=list)
    _declared: set[Queue] = field(default_factory=set)

    async def connect(
        self,
        *,
        application: str = "gateway",
        queues: Sequence[Queue] = QUEUES,
        confirm_seconds: float = 10,
        declare: bool = True,
        url: str = "",
    ) -> RabbitTransport:
        """Connect, through another URL of the same broker if given."""
        if declare:
            self._declared.update(queues)
        transport = await connect_rabbitmq(
            url or self.url,
            namespace=self.namespace,
            application=application,
            declare=declare,
            queues=queues,
            confirm_seconds=confirm_seconds,
        )
        self._opened.append(transport)
        return transport

    def on_broker(self, name: str) -> str:
        """The broker's own name of an exchange or queue of the topology."""
        return Names(self.namespace).on_broker(name)

    @asynccontextmanager
    async def foreign_channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        """A confirming channel as another program would open it."""
        connection = await aio_pika.connect(self.url, timeout=5)
        try:
            yield await connection.channel(on_return_raises=True)
        finally:
            await connection.close()

    async def remove(self) -> None:
        """Close and delete everything."""
        for transport in self._opened:
            await transport.close()
        await remove_namespace(self.url, self.namespace, queues=tuple(self._declared))


@pytest.fixture(scope="session")
async def rabbitmq() -> AsyncIterator[str]:
    """The URL of a RabbitMQ user who may declare."""
    async with found_rabbitmq() as url:
        yield url


@pytest.fixture
async def rabbitmq_namespace(rabbitmq: str) -> AsyncIterator[RabbitNamespace]:
    """A namespace of the test's own: `await rabbitmq_namespace.connect(queues=...)`; deleted afterwards."""
    namespace = RabbitNamespace(rabbitmq)
    yield namespace
    await namespace.remove()
