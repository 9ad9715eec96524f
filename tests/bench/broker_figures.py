"""What the transports carry per second: publishing with confirms, consuming with settling, both beside aio-pika itself."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import aio_pika

from libs.common.broker.declare import Names
from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.rabbitmq import connect_rabbitmq
from libs.common.broker.topology import EVENTS, Queue
from libs.common.broker.transport import Message, Transport
from libs.common.ids import new_id
from tests.support.messages import event_message
from tests.support.rabbitmq import found_rabbitmq, remove_namespace

IN_FLIGHT = 500
PREFETCH = 64
BODY = b"x" * 430
BENCH = Queue("bench.events", EVENTS, ("#",))


@dataclass(frozen=True, slots=True)
class BrokerFigures:
    """Messages per second, bodies of 430 bytes; latencies in milliseconds, publish to received, one at a time."""

    rabbitmq_publish_one_by_one: float
    rabbitmq_publish: float
    rabbitmq_consume: float
    aio_pika_publish: float
    aio_pika_consume: float
    embedded_through: float
    rabbitmq_latency_p50_ms: float
    rabbitmq_latency_p99_ms: float


async def broker_figures(url: str, *, messages: int = 20_000) -> BrokerFigures:
    """Measure on a namespace of its own, which is deleted afterwards; 500 publishes in flight, prefetch 64."""
    namespace = f"bench-{new_id()[-12:]}"
    transport = await connect_rabbitmq(url, namespace=namespace, application="bench", queues=(BENCH,))
    try:
        one_by_one = await _one_by_one(transport, count=max(100, messages // 20))
        published = await _rate(messages, lambda: transport.publish(_message()))
        consumed = await _drain(transport, messages)
        library_published, library_consumed = await _library(url, Names(namespace), messages)
        latencies = await _latencies(transport, count=1000)
    finally:
        await transport.close()
        await remove_namespace(url, namespace, queues=(BENCH,))
    return BrokerFigures(
        rabbitmq_publish_one_by_one=one_by_one,
        rabbitmq_publish=published,
        rabbitmq_consume=consumed,
        aio_pika_publish=library_published,
        aio_pika_consume=library_consumed,
        embedded_through=await _embedded(messages),
        rabbitmq_latency_p50_ms=latencies[len(latencies) // 2],
        rabbitmq_latency_p99_ms=latencies[len(latencies) * 99 // 100],
    )


def _message() -> Message:
    return event_message(body=BODY, headers={"cloudEvents_id": "0", "cloudEvents_source": "/reeve/gateway"})


async def _rate(count: int, publish: Callable[[], Awaitable[None]]) -> float:
    left = iter(range(count))

    async def publish_some() -> None:
        for _ in left:
            await publish()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(publish_some())
    return count / (time.perf_counter() - started)


async def _one_by_one(transport: Transport, *, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        await transport.publish(_message())
    took = time.perf_counter() - started
    await _drain(transport, count)
    return count / took


async def _drain(transport: Transport, count: int) -> float:
    received = 0
    started = time.perf_counter()
    async with transport.subscribe(BENCH, prefetch=PREFETCH) as subscription:
        while received < count:
            batch = await subscription.receive(PREFETCH)
            await subscription.settle(batch)
            received += len(batch)
        return count / (time.perf_counter() - started)


async def _library(url: str, names: Names, count: int) -> tuple[float, float]:
    """The same with aio-pika as its manual shows it, acknowledging one by one."""
    connection = await aio_pika.connect_robust(url, timeout=5)
    try:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange(names.on_broker(EVENTS), ensure=False)

        async def publish() -> None:
            message = aio_pika.Message(
                BODY, message_id=new_id(), delivery_mode=2, type="reeve.setting.changed.v1", app_id="gateway",
                headers={"cloudEvents_id": "0", "cloudEvents_source": "/reeve/gateway"},
            )  # fmt: skip
            await exchange.publish(message, "reeve.setting.changed.v1", timeout=10)

        published = await _rate(count, publish)
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.get_queue(names.on_broker(BENCH.name), ensure=False)
        started = time.perf_counter()
        received = 0
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                received += 1
                if received == count:
                    break
        return published, count / (time.perf_counter() - started)
    finally:
        await connection.close()


async def _latencies(transport: Transport, *, count: int) -> list[float]:
    """Sorted milliseconds from before the publish until a waiting consumer has the message."""
    latencies = []
    async with transport.subscribe(BENCH, prefetch=PREFETCH) as subscription:
        for _ in range(count):
            waiting = asyncio.create_task(subscription.receive(1))
            started = time.perf_counter()
            publishing = asyncio.create_task(transport.publish(_message()))
            batch = await waiting
            latencies.append((time.perf_counter() - started) * 1000)
            await subscription.settle(batch)
            await publishing
    return sorted(latencies)


async def _embedded(count: int) -> float:
    """Published, consumed and settled in one process."""
    transport = EmbeddedTransport(queues=(BENCH,))
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(_drain(transport, count))
        group.create_task(_rate(count, lambda: transport.publish(_message())))
    return count / (time.perf_counter() - started)


async def _main() -> None:
    async with found_rabbitmq() as url:
        figures = await broker_figures(url)
    sys.stdout.write(json.dumps({name: round(value, 2) for name, value in asdict(figures).items()}, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(_main())
