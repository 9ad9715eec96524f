"""Publishing to RabbitMQ: who is vouched for, what is refused, and what stays unknown."""

import asyncio
import time
from dataclasses import replace

import aio_pika
import pytest
from aiormq.exceptions import ChannelPreconditionFailed

from libs.common.broker.topology import COMMANDS, EVENTS, Queue
from libs.common.broker.transport import Unconfirmed, Unroutable
from tests.support.eventually import eventually
from tests.support.messages import bodies, command_message, event_message, settle_count
from tests.support.rabbitmq_fixtures import RabbitNamespace
from tests.support.tcp_proxy import proxied

WORK = Queue("work.commands", COMMANDS, ("work.commands",))
SMALL = Queue("small.commands", COMMANDS, ("small.commands",), most_length=2)
ALL = Queue("all.events", EVENTS, ("#",))


async def test_messages_are_persistent_and_bear_the_connections_user(rabbitmq_namespace: RabbitNamespace) -> None:
    shared = replace(WORK, single_active=False)
    transport = await rabbitmq_namespace.connect(queues=(shared,))
    await transport.publish(command_message(shared))
    async with rabbitmq_namespace.foreign_channel() as channel:
        queue = await channel.get_queue(rabbitmq_namespace.on_broker(shared.name), ensure=False)
        message = await queue.get(timeout=5)
        assert message is not None
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        assert message.user_id == "guest"
        assert message.timestamp is not None
        assert abs(message.timestamp.timestamp() - time.time()) < 60
        await message.ack()


async def test_a_forged_sender_is_refused_by_the_broker(rabbitmq_namespace: RabbitNamespace) -> None:
    transport = await rabbitmq_namespace.connect(queues=(ALL,))
    async with rabbitmq_namespace.foreign_channel() as channel:
        exchange = await channel.get_exchange(rabbitmq_namespace.on_broker(EVENTS), ensure=False)
        with pytest.raises(ChannelPreconditionFailed, match="user_id"):
            await exchange.publish(aio_pika.Message(b"{}", user_id="reeve_gateway"), "reeve.setting.changed.v1")
    assert await transport.depth(ALL.name) == 0


async def test_a_foreign_message_without_a_sender_is_vouched_for_by_nobody(rabbitmq_namespace: RabbitNamespace) -> None:
    transport = await rabbitmq_namespace.connect(queues=(ALL,))
    async with rabbitmq_namespace.foreign_channel() as channel:
        exchange = await channel.get_exchange(rabbitmq_namespace.on_broker(EVENTS), ensure=False)
        await exchange.publish(aio_pika.Message(b"{}"), "platform.order.created")
    async with transport.subscribe(ALL) as subscription:
        (received,) = await settle_count(subscription, 1)
    assert (received.sender, received.app_id, received.type, received.content_type) == ("", "", "", "")


async def test_one_full_queue_makes_an_event_unroutable_for_all(rabbitmq_namespace: RabbitNamespace) -> None:
    full = Queue("full.events", EVENTS, ("#",), most_length=2)
    transport = await rabbitmq_namespace.connect(queues=(ALL, full))

    async def is_refused() -> bool:
        try:
            await transport.publish(event_message())
        except Unroutable:
            return True
        return False

    await eventually(is_refused)
    async with transport.subscribe(full) as subscription:
        await settle_count(subscription, await transport.depth(full.name))

        async def is_taken_again() -> bool:
            return not await is_refused()

        await eventually(is_taken_again)


async def test_what_amqp_cannot_carry_is_unroutable(rabbitmq_namespace: RabbitNamespace) -> None:
    transport = await rabbitmq_namespace.connect(queues=(ALL,))
    with pytest.raises(Unroutable):
        await transport.publish(event_message("x" * 300))
    with pytest.raises(Unroutable):
        await transport.publish(event_message(headers={"object": object()}))
    await transport.publish(event_message())
    assert await transport.depth(ALL.name) == 1


async def test_a_confirm_that_does_not_come_is_unknown_and_may_have_arrived(
    rabbitmq_namespace: RabbitNamespace,
) -> None:
    async with proxied(rabbitmq_namespace.url, 5672) as (url, proxy):
        transport = await rabbitmq_namespace.connect(queues=(WORK,), url=url, confirm_seconds=0.3)
        await transport.publish(command_message(WORK, body=b"before"))
        proxy.fall_silent()
        with pytest.raises(Unconfirmed, match=r"0\.3 s"):
            await transport.publish(command_message(WORK, body=b"unknown"))
        proxy.speak_again()
        await transport.publish(command_message(WORK, body=b"after"))
        async with transport.subscribe(WORK) as subscription:
            assert bodies(await settle_count(subscription, 3)) == [b"before", b"unknown", b"after"]


async def test_publishes_in_flight_when_the_connection_is_cut_are_unknown(rabbitmq_namespace: RabbitNamespace) -> None:
    async with proxied(rabbitmq_namespace.url, 5672) as (url, proxy):
        transport = await rabbitmq_namespace.connect(queues=(WORK,), url=url)
        await transport.publish(command_message(WORK, body=b"before"))
        proxy.fall_silent()
        in_flight = [asyncio.create_task(transport.publish(command_message(WORK))) for _ in range(50)]
        await asyncio.sleep(0.05)
        proxy.cut()
        proxy.speak_again()
        async with asyncio.timeout(5):
            results = await asyncio.gather(*in_flight, return_exceptions=True)
        assert {type(result) for result in results} == {Unconfirmed}
        await transport.publish(command_message(WORK, body=b"after"))


async def test_a_publish_while_the_broker_is_away_is_unknown_within_the_time_limit(
    rabbitmq_namespace: RabbitNamespace,
) -> None:
    async with proxied(rabbitmq_namespace.url, 5672) as (url, proxy):
        transport = await rabbitmq_namespace.connect(queues=(WORK,), url=url)
        await proxy.refuse()
        await eventually(lambda: not transport.is_connected)
        started = time.monotonic()
        with pytest.raises(Unconfirmed):
            await transport.publish(command_message(WORK))
        assert time.monotonic() - started < 8
        await transport.reply(command_message(WORK))
        await proxy.start()
        await eventually(lambda: transport.is_connected)
        await transport.publish(command_message(WORK))
        assert await transport.depth(WORK.name) == 1
