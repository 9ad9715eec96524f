"""Fixtures around the broker: its URL, and a namespace of the test's own on it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from libs.common.broker.rabbitmq import RabbitTransport, connect_rabbitmq
from libs.common.broker.topology import QUEUES, Queue
from libs.common.ids import new_id
from tests.support.rabbitmq import found_rabbitmq, remove_namespace

ConnectRabbit = Callable[..., Awaitable[RabbitTransport]]


@pytest.fixture(scope="session")
async def rabbitmq() -> AsyncIterator[str]:
    """The URL of a RabbitMQ user who may declare."""
    async with found_rabbitmq() as url:
        yield url


@pytest.fixture
async def amqp_namespace(rabbitmq: str) -> AsyncIterator[str]:
    """A prefix of this test's own for the whole topology, deleted afterwards."""
    namespace = f"test-{new_id()[-12:]}"
    yield namespace
    await remove_namespace(rabbitmq, namespace)


@pytest.fixture
async def connect_to_rabbitmq(rabbitmq: str) -> AsyncIterator[ConnectRabbit]:
    """Connect to a namespace of the test's own, with `queues=` only those; all is closed and deleted afterwards."""
    namespace = f"test-{new_id()[-12:]}"
    opened: list[RabbitTransport] = []
    declared: set[Queue] = set()

    async def connect_here(
        *, application: str = "gateway", queues: Sequence[Queue] = QUEUES, confirm_seconds: float = 10, url: str = ""
    ) -> RabbitTransport:
        declared.update(queues)
        transport = await connect_rabbitmq(
            url or rabbitmq,
            namespace=namespace,
            application=application,
            queues=queues,
            confirm_seconds=confirm_seconds,
        )
        opened.append(transport)
        return transport

    yield connect_here
    for transport in opened:
        await transport.close()
    await remove_namespace(rabbitmq, namespace, queues=sorted(declared, key=lambda queue: queue.name))
