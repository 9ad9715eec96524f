"""What is declared on RabbitMQ, and how a broker is met that an operator has prepared."""

import re
from dataclasses import replace

import pytest

from libs.common.broker.rabbitmq_message import ADDED_BY_THE_BROKER
from libs.common.broker.topology import COMMANDS, DEAD, DELIVERY_LIMIT, EVENTS, QUEUES, Queue
from tests.support.eventually import eventually
from tests.support.messages import command_message, receive_count
from tests.support.rabbitmq_fixtures import RabbitNamespace

WORK = Queue("work.commands", COMMANDS, ("work.commands",))
OTHER = Queue("other.events", EVENTS, ("platform.#",), single_active=False)


async def test_the_whole_topology_is_declared_as_quorum_queues(rabbitmq_namespace: RabbitNamespace) -> None:
    transport = await rabbitmq_namespace.connect()
    assert [await transport.depth(queue.name) for queue in QUEUES] == [0] * len(QUEUES)
    assert [await transport.depth(queue.dead) for queue in QUEUES] == [0] * len(QUEUES)
    async with rabbitmq_namespace.foreign_channel() as channel:
        for queue in QUEUES:
            # A declaration succeeds again only when every argument is the same.
            await channel.declare_queue(
                rabbitmq_namespace.on_broker(queue.name),
                durable=True,
                arguments={
                    "x-queue-type": "quorum",
                    "x-delivery-limit": 20,
                    "x-max-length": 1_000_000,
                    "x-overflow": "reject-publish",
                    "x-single-active-consumer": True,
                    "x-dead-letter-exchange": rabbitmq_namespace.on_broker(DEAD),
                    "x-dead-letter-routing-key": queue.name,
                    "x-dead-letter-strategy": "at-least-once",
                },
            )


async def test_declaring_twice_changes_nothing(rabbitmq_namespace: RabbitNamespace) -> None:
    first = await rabbitmq_namespace.connect(queues=(WORK, OTHER))
    await first.publish(command_message(WORK))
    second = await rabbitmq_namespace.connect(queues=(WORK, OTHER))
    assert await second.depth(WORK.name) == 1


async def test_a_queue_that_exists_otherwise_stops_the_start(rabbitmq_namespace: RabbitNamespace) -> None:
    await rabbitmq_namespace.connect(queues=(WORK,))
    with pytest.raises(ConnectionError, match=r"PRECONDITION_FAILED.*x-max-length"):
        await rabbitmq_namespace.connect(queues=(replace(WORK, most_length=5),))


async def test_a_prepared_broker_is_taken_as_it_is(rabbitmq_namespace: RabbitNamespace) -> None:
    await rabbitmq_namespace.connect(queues=(WORK,))
    transport = await rabbitmq_namespace.connect(queues=(WORK,), declare=False)
    await transport.publish(command_message(WORK))
    assert await transport.depth(WORK.name) == 1


async def test_what_a_prepared_broker_lacks_is_named(rabbitmq_namespace: RabbitNamespace) -> None:
    await rabbitmq_namespace.connect(queues=(WORK,))
    missing = re.escape(rabbitmq_namespace.on_broker("other.events"))
    with pytest.raises(ConnectionError, match=f"no queue {missing}"):
        await rabbitmq_namespace.connect(queues=(WORK, OTHER), declare=False)


async def test_two_namespaces_do_not_meet(rabbitmq_namespace: RabbitNamespace) -> None:
    elsewhere = RabbitNamespace(rabbitmq_namespace.url)
    here = await rabbitmq_namespace.connect(queues=(WORK,))
    try:
        there = await elsewhere.connect(queues=(WORK,))
        await here.publish(command_message(WORK))
        assert await there.depth(WORK.name) == 0
    finally:
        await elsewhere.remove()


async def test_a_dead_letter_bears_its_reason_and_its_sender(rabbitmq_namespace: RabbitNamespace) -> None:
    transport = await rabbitmq_namespace.connect(queues=(WORK,))
    await transport.publish(command_message(WORK, body=b"broken")._replace(headers={"kept": "yes"}))
    async with transport.subscribe(WORK) as subscription:
        deliveries = await receive_count(subscription, 1)
        await transport.dead_letter(WORK, deliveries[0].message, reason="malformed: not JSON")
        await subscription.settle(deliveries)
    async with rabbitmq_namespace.foreign_channel() as channel:
        dead = await channel.get_queue(rabbitmq_namespace.on_broker(WORK.dead), ensure=False)
        letter = await dead.get(timeout=5)
        assert letter is not None
        assert letter.body == b"broken"
        assert letter.message_id == deliveries[0].message.message_id
        told = {name: value for name, value in letter.headers.items() if name not in ADDED_BY_THE_BROKER}
        assert told == {"kept": "yes", "x-reeve-reason": "malformed: not JSON", "x-reeve-sender": "guest"}
        await letter.ack()


async def test_a_message_delivered_too_often_becomes_a_dead_letter(rabbitmq_namespace: RabbitNamespace) -> None:
    transport = await rabbitmq_namespace.connect(queues=(WORK,))
    await transport.publish(command_message(WORK))
    # RabbitMQ counts releases until 4.2 and losses of the consumer's channel in every version.
    for _ in range(DELIVERY_LIMIT + 1):
        async with transport.subscribe(WORK) as subscription:
            await receive_count(subscription, 1)

    async def is_dead() -> bool:
        return await transport.depth(WORK.dead) == 1 and await transport.depth(WORK.name) == 0

    await eventually(is_dead)
    async with rabbitmq_namespace.foreign_channel() as channel:
        dead = await channel.get_queue(rabbitmq_namespace.on_broker(WORK.dead), ensure=False)
        letter = await dead.get(timeout=5)
        assert letter is not None
        assert "delivery_limit" in str(letter.headers)
        await letter.ack()
