"""What a transport does when the broker closes its connections, is silent, or is killed."""

import asyncio
import time

import pytest
from aiormq.exceptions import AMQPError
from pamqp.commands import Basic

from libs.common.broker.rabbitmq import RabbitTransport
from libs.common.broker.topology import COMMANDS, EVENTS, Queue
from libs.common.broker.transport import Unconfirmed
from tests.support.eventually import eventually
from tests.support.messages import bodies, command_message, event_message, receive_count, reply_message, settle_count
from tests.support.rabbitmq_fixtures import RabbitNamespace
from tests.support.tcp_proxy import proxied

WORK = Queue("work.commands", COMMANDS, ("work.commands",))
ALL = Queue("all.events", EVENTS, ("#",))


async def close_by_the_broker(transport: RabbitTransport) -> None:
    """Make the broker close both connections: it does that to whoever declares an exchange of no known type."""
    for link in (transport._publishing, transport._consuming):
        channel = await link.channel(confirms=False)
        with pytest.raises((AMQPError, OSError, RuntimeError)):
            await channel.exchange_declare("never", exchange_type="no-such-type")
    await eventually(lambda: not transport.is_connected)


async def test_everything_works_again_after_the_broker_closed_the_connections(
    rabbitmq_namespace: RabbitNamespace,
) -> None:
    transport = await rabbitmq_namespace.connect(queues=(ALL,))
    async with (
        transport.subscribe(ALL) as durable,
        transport.replies("gateway.replies.one") as replies,
        transport.listen(("#",)) as live,
    ):
        await transport.publish(event_message(body=b"before"))
        before = await receive_count(durable, 1)
        await receive_count(live, 1)
        waiting = asyncio.create_task(replies.receive(10))
        hearing = asyncio.create_task(live.receive(10))

        await close_by_the_broker(transport)
        assert not transport.is_connected
        await durable.settle(before)
        again = await receive_count(durable, 1)
        assert bodies(again) == [b"before"]
        assert again[0].redelivered
        await durable.settle(before)
        await durable.settle(again)
        await eventually(lambda: transport.is_connected)

        async def reply_is_received() -> bool:
            await transport.reply(reply_message("gateway.replies.one", body=b"reply"))
            await asyncio.wait([waiting], timeout=0.1)
            return waiting.done()

        async def event_is_heard() -> bool:
            await transport.publish(event_message(body=b"after"))
            await settle_count(durable, 1)
            await asyncio.wait([hearing], timeout=0.1)
            return hearing.done()

        await eventually(reply_is_received)
        await eventually(event_is_heard)
        assert bodies(await waiting)[0] == b"reply"
        assert bodies(await hearing)[0] == b"after"
    assert await transport.depth(ALL.name) == 0


async def test_order_is_kept_across_lost_connections(rabbitmq_namespace: RabbitNamespace) -> None:
    async with proxied(rabbitmq_namespace.url, 5672) as (url, proxy):
        transport = await rabbitmq_namespace.connect(queues=(WORK,), url=url)
        for number in range(30):
            await transport.publish(command_message(WORK, body=b"%d" % number))
        settled: list[bytes] = []
        async with transport.subscribe(WORK, prefetch=10) as subscription:
            while len(settled) < 30:
                lost = await receive_count(subscription, 10)
                proxy.cut()
                await eventually(lambda: not transport.is_connected)
                await subscription.settle(lost)
                again = await receive_count(subscription, 10)
                assert bodies(again) == bodies(lost)
                await subscription.settle(again)
                settled += bodies(again)
        assert settled == [b"%d" % number for number in range(30)]


async def test_a_deleted_queue_is_consumed_again_once_it_is_back(rabbitmq_namespace: RabbitNamespace) -> None:
    transport = await rabbitmq_namespace.connect(queues=(WORK,))
    async with transport.subscribe(WORK) as subscription:
        waiting = asyncio.create_task(subscription.receive(1))
        async with rabbitmq_namespace.foreign_channel() as channel:
            await channel.queue_delete(rabbitmq_namespace.on_broker(WORK.name))
        # A queue declared anew within milliseconds keeps, on RabbitMQ 3.10, a consumer that it never delivers to.
        await asyncio.sleep(0.5)
        owner = await rabbitmq_namespace.connect(queues=(WORK,))
        await owner.publish(command_message(WORK, body=b"in the new queue"))
        async with asyncio.timeout(15):
            assert bodies(await waiting) == [b"in the new queue"]


async def test_a_message_with_undecodable_properties_stops_nobody(rabbitmq_namespace: RabbitNamespace) -> None:
    transport = await rabbitmq_namespace.connect(queues=(ALL,))
    link = transport._publishing
    channel = await link.channel(confirms=False)
    odd = Basic.Properties(message_id="AAAA", message_type="nul\0", headers={"AAAA": "x", "nested": {"deep": [1]}})
    with pytest.MonkeyPatch.context() as patch:
        marshal = Basic.Properties.marshal
        patch.setattr(Basic.Properties, "marshal", lambda self: marshal(self).replace(b"AAAA", b"\xff\xfe\xff\xfe"))
        await channel.basic_publish(
            b"{}", exchange=rabbitmq_namespace.on_broker(EVENTS), routing_key="odd", properties=odd
        )
    await eventually(lambda: depth_is(transport, 1))
    await transport.publish(event_message(body=b"after"))
    async with transport.subscribe(ALL) as subscription:
        strange, plain = await settle_count(subscription, 2)
    assert (strange.message_id, strange.type) == ("\ufffd" * 4, "nul\ufffd")
    assert strange.headers == {"x-reeve-undecodable": True}
    assert plain.body == b"after"


async def depth_is(transport: RabbitTransport, depth: int) -> bool:
    return await transport.depth(ALL.name) == depth


async def test_closing_takes_less_than_five_seconds_when_the_broker_is_silent(
    rabbitmq_namespace: RabbitNamespace,
) -> None:
    async with proxied(rabbitmq_namespace.url, 5672) as (url, proxy):
        transport = await rabbitmq_namespace.connect(queues=(WORK,), url=url)
        async with transport.subscribe(WORK) as subscription:
            waiting = asyncio.create_task(subscription.receive(1))
            proxy.fall_silent()
            unconfirmed = asyncio.create_task(transport.publish(command_message(WORK)))
            await asyncio.sleep(0.05)
            started = time.monotonic()
            await transport.close()
            assert time.monotonic() - started < 5
            results = await asyncio.wait_for(asyncio.gather(waiting, unconfirmed, return_exceptions=True), 1)
        assert isinstance(results[0], ConnectionError)
        assert isinstance(results[1], Unconfirmed)


async def test_closing_waits_for_confirms_under_way(rabbitmq_namespace: RabbitNamespace) -> None:
    transport = await rabbitmq_namespace.connect(queues=(WORK,))
    publishing = [asyncio.create_task(transport.publish(command_message(WORK))) for _ in range(200)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await transport.close()
    results = await asyncio.gather(*publishing, return_exceptions=True)
    confirmed = sum(result is None for result in results)
    assert confirmed == 200
    other = await rabbitmq_namespace.connect(queues=(WORK,))
    assert await other.depth(WORK.name) == 200
