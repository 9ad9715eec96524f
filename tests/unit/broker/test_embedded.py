"""What only the in-process transport promises: a publish ends when every bound consumer has settled."""

import asyncio

import pytest

from libs.common.broker.embedded import MOST_HELD, EmbeddedTransport
from libs.common.broker.embedded_queue import EmbeddedQueue
from libs.common.broker.topology import AUDIT_EVENTS, EVENTS, NOTIFICATIONS_EVENTS, QUEUES, SETTINGS_COMMANDS, Queue
from libs.common.broker.transport import Unconfirmed, Unroutable
from tests.support.messages import command_message, event_message, receive_count, settle_count

ONE = Queue("one.events", EVENTS, ("#",))
OTHER = Queue("other.events", EVENTS, ("reeve.#",))


async def turns(count: int = 5) -> None:
    """Let everything that can run, run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_publish_ends_when_the_last_bound_consumer_has_settled() -> None:
    transport = EmbeddedTransport(queues=(ONE, OTHER))
    publishing = asyncio.create_task(transport.publish(event_message("reeve.setting.changed.v1")))
    async with transport.subscribe(ONE) as one, transport.subscribe(OTHER) as other:
        await settle_count(one, 1)
        await turns()
        assert not publishing.done()
        await settle_count(other, 1)
        await publishing


async def test_an_event_waits_for_its_own_queues_only() -> None:
    transport = EmbeddedTransport(queues=(ONE, OTHER))
    publishing = asyncio.create_task(transport.publish(event_message("platform.order.created")))
    async with transport.subscribe(ONE) as one:
        await settle_count(one, 1)
        await publishing
    assert await transport.depth(OTHER.name) == 0


async def test_a_released_message_does_not_end_the_publish() -> None:
    transport = EmbeddedTransport(queues=(ONE,))
    publishing = asyncio.create_task(transport.publish(event_message()))
    async with transport.subscribe(ONE) as one:
        await one.release(await receive_count(one, 1))
        await turns()
        assert not publishing.done()
        await settle_count(one, 1)
        await publishing


async def test_a_queue_without_a_consumer_keeps_its_messages() -> None:
    transport = EmbeddedTransport(queues=(ONE,))
    publishing = [asyncio.create_task(transport.publish(event_message())) for _ in range(100)]
    await turns()
    assert await transport.depth(ONE.name) == 100
    assert not any(task.done() for task in publishing)
    async with transport.subscribe(ONE) as one:
        await settle_count(one, 100)
    await asyncio.gather(*publishing)


async def test_a_publisher_that_gives_up_leaves_the_message() -> None:
    transport = EmbeddedTransport(queues=(ONE,))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(transport.publish(event_message(body=b"kept")), 0.01)
    async with transport.subscribe(ONE) as one:
        (message,) = await settle_count(one, 1)
    assert message.body == b"kept"


async def test_closing_makes_waiting_publishes_unknown() -> None:
    transport = EmbeddedTransport(queues=(ONE,))
    waiting = [asyncio.create_task(transport.publish(event_message())) for _ in range(2)]
    async with transport.subscribe(ONE, prefetch=1) as one:
        held = await receive_count(one, 1)
        await transport.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [Unconfirmed, Unconfirmed]
        await one.settle(held)


async def test_memory_is_bounded_whatever_the_queue_would_hold() -> None:
    held = EmbeddedQueue(ONE, most=min(ONE.most_length, MOST_HELD))
    message = event_message()
    for _ in range(MOST_HELD):
        assert not held.is_full
        assert not held.put(message).done()
    assert held.is_full
    held.take(10)
    assert held.is_full


async def test_a_refused_event_reaches_no_queue_at_all() -> None:
    full = Queue("full.events", EVENTS, ("#",), most_length=1)
    transport = EmbeddedTransport(queues=(ONE, full))
    waiting = asyncio.create_task(transport.publish(event_message()))
    await turns()
    with pytest.raises(Unroutable):
        await transport.publish(event_message())
    assert await transport.depth(ONE.name) == 1
    await transport.close()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_the_platforms_topology_is_there_by_default() -> None:
    transport = EmbeddedTransport()
    assert [await transport.depth(queue.name) for queue in QUEUES] == [0] * len(QUEUES)
    command = asyncio.create_task(transport.publish(command_message(SETTINGS_COMMANDS)))
    event = asyncio.create_task(transport.publish(event_message("platform.order.created")))
    async with (
        transport.subscribe(SETTINGS_COMMANDS) as commands,
        transport.subscribe(AUDIT_EVENTS) as audit,
        transport.subscribe(NOTIFICATIONS_EVENTS) as notifications,
    ):
        for subscription in (commands, audit, notifications):
            await settle_count(subscription, 1)
        await asyncio.gather(command, event)


async def test_a_queue_of_no_topology_cannot_be_consumed() -> None:
    transport = EmbeddedTransport(queues=(ONE,))
    with pytest.raises(ConnectionError, match="not declared"):
        async with transport.subscribe(OTHER):
            pass
    with pytest.raises(Unroutable):
        await transport.dead_letter(OTHER, event_message(), reason="none")


async def test_a_reply_queues_name_is_taken_once() -> None:
    transport = EmbeddedTransport(queues=())
    async with transport.replies("gateway.replies.one"):
        with pytest.raises(ConnectionError, match="taken"):
            async with transport.replies("gateway.replies.one"):
                pass
    async with transport.replies("gateway.replies.one"):
        pass
