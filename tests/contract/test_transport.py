"""What every transport promises, tried on RabbitMQ and on the in-process one alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import COMMANDS, EVENTS, MOST_LISTENED, Queue
from libs.common.broker.transport import Message, Transport, Unconfirmed, Unroutable
from tests.support.eventually import eventually
from tests.support.messages import bodies, command_message, event_message, receive_count, reply_message, settle_count
from tests.support.rabbitmq_fixtures import RabbitNamespace

ALL = Queue("all.events", EVENTS, ("#",))
SETTINGS = Queue("settings.outcomes", EVENTS, ("reeve.setting.*.v1", "reeve.client.#"))
WORK = Queue("work.commands", COMMANDS, ("work.commands",))
SHARED = Queue("shared.commands", COMMANDS, ("shared.commands",), single_active=False)
SMALL = Queue("small.commands", COMMANDS, ("small.commands",), most_length=3)

Connect = Callable[..., Awaitable[Transport]]
Background = Callable[..., list["asyncio.Task[None]"]]


@pytest.fixture
async def rabbitmq_for(rabbitmq_namespace: RabbitNamespace) -> Connect:
    """Connect to a namespace of RabbitMQ that has exactly these queues."""

    async def make(*queues: Queue) -> Transport:
        return await rabbitmq_namespace.connect(queues=queues)

    return make


@pytest.fixture
async def embedded_for() -> AsyncIterator[Connect]:
    """Make an in-process transport that has exactly these queues."""
    opened: list[EmbeddedTransport] = []

    async def make(*queues: Queue) -> Transport:
        opened.append(EmbeddedTransport(queues=queues))
        return opened[-1]

    yield make
    for transport in opened:
        await transport.close()


@pytest.fixture(params=["rabbitmq", "embedded"])
def transport_for(request: pytest.FixtureRequest) -> Connect:
    """Connect to a broker that has exactly these queues: `await transport_for(ALL)`."""
    connect: Connect = request.getfixturevalue(f"{request.param}_for")
    return connect


@pytest.fixture
async def in_background() -> AsyncIterator[Background]:
    """Publish while the test consumes: in one process a publish ends only when the consumers have settled."""
    started: list[asyncio.Task[None]] = []

    def start(transport: Transport, *messages: Message) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(transport.publish(message)) for message in messages]
        started.extend(tasks)
        return tasks

    yield start
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)


def numbered(count: int, type: str = "reeve.setting.changed.v1") -> list[Message]:  # noqa: A002
    return [event_message(type, body=b"%d" % number) for number in range(count)]


async def nothing_waits(transport: Transport, *queues: Queue) -> None:
    async def is_empty() -> bool:
        return [await transport.depth(queue.name) for queue in queues] == [0] * len(queues)

    await eventually(is_empty)


async def test_a_message_reaches_every_bound_queue_once_and_no_other(
    transport_for: Connect, in_background: Background
) -> None:
    transport = await transport_for(ALL, SETTINGS, WORK)
    published = in_background(
        transport,
        event_message("reeve.setting.changed.v1"),
        event_message("reeve.setting.changed.late.v1"),
        event_message("reeve.client.registered.v1"),
        event_message("reeve.client"),
        event_message("platform.order.created"),
    )
    async with transport.subscribe(ALL) as everything, transport.subscribe(SETTINGS) as some:
        seen = await settle_count(everything, 5)
        matched = await settle_count(some, 3)
        await asyncio.gather(*published)
    assert [message.type for message in seen] == [
        "reeve.setting.changed.v1",
        "reeve.setting.changed.late.v1",
        "reeve.client.registered.v1",
        "reeve.client",
        "platform.order.created",
    ]
    assert [message.type for message in matched] == [
        "reeve.setting.changed.v1",
        "reeve.client.registered.v1",
        "reeve.client",
    ]
    await nothing_waits(transport, ALL, SETTINGS, WORK)


async def test_a_command_reaches_its_own_queue_only(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL, WORK, SHARED)
    published = in_background(transport, command_message(WORK))
    async with transport.subscribe(WORK) as subscription:
        await settle_count(subscription, 1)
        await asyncio.gather(*published)
    await nothing_waits(transport, ALL, SHARED)


async def test_order_is_kept(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    messages = numbered(300)
    published = in_background(transport, *messages)
    async with transport.subscribe(ALL, prefetch=20) as subscription:
        assert bodies(await settle_count(subscription, 300)) == bodies(messages)
        await asyncio.gather(*published)


async def test_receive_returns_what_is_here_up_to_the_bound(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    in_background(transport, *numbered(30))
    await eventually(lambda: depth_is(transport, ALL.name, 30))
    async with transport.subscribe(ALL, prefetch=64) as subscription:
        first = await subscription.receive(1)
        await eventually(lambda: depth_is(transport, ALL.name, 0) if transport.kind == "rabbitmq" else True)
        second = await subscription.receive(20)
        third = await subscription.receive(64)
        assert [len(first), len(second), len(third)] == [1, 20, 9]
        await subscription.settle([*first, *second, *third])


async def test_no_more_than_prefetch_is_unsettled(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    in_background(transport, *numbered(10))
    async with transport.subscribe(ALL, prefetch=4) as subscription:
        held = await receive_count(subscription, 4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(subscription.receive(4), 0.2)
        await subscription.settle(held[:1])
        assert bodies(await subscription.receive(4)) == [b"4"]


async def test_unsettled_messages_come_again_in_order_after_the_subscription_is_dropped(
    transport_for: Connect, in_background: Background
) -> None:
    transport = await transport_for(ALL)
    published = in_background(transport, *numbered(10))
    async with transport.subscribe(ALL) as subscription:
        deliveries = await receive_count(subscription, 6)
        assert not any(delivery.redelivered for delivery in deliveries)
        await subscription.settle(deliveries[:2])
    async with transport.subscribe(ALL) as subscription:
        again = await receive_count(subscription, 8)
        assert bodies(again) == [b"%d" % number for number in range(2, 10)]
        assert all(delivery.redelivered for delivery in again[:4])
        await subscription.settle(again)
        await asyncio.gather(*published)
    await nothing_waits(transport, ALL)


async def test_settling_out_of_order_settles_exactly_what_was_meant(
    transport_for: Connect, in_background: Background
) -> None:
    transport = await transport_for(ALL)
    in_background(transport, *numbered(6))
    async with transport.subscribe(ALL) as subscription:
        deliveries = await receive_count(subscription, 6)
        await subscription.settle([deliveries[4], deliveries[1]])
        await subscription.settle([deliveries[0], deliveries[2]])
        await subscription.settle([deliveries[0]])
    async with transport.subscribe(ALL) as subscription:
        again = await receive_count(subscription, 2)
        assert bodies(again) == [b"3", b"5"]
        await subscription.settle(again)
    await nothing_waits(transport, ALL)


async def test_released_messages_come_again(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    published = in_background(transport, *numbered(4))
    async with transport.subscribe(ALL, prefetch=2) as subscription:
        deliveries = await receive_count(subscription, 2)
        await subscription.release(deliveries)
        again = await receive_count(subscription, 2)
        assert bodies(again) == [b"0", b"1"]
        assert all(delivery.redelivered for delivery in again)
        await subscription.settle(again)
        assert bodies(await settle_count(subscription, 2)) == [b"2", b"3"]
        await asyncio.gather(*published)


async def test_settling_after_the_subscription_ended_changes_nothing(
    transport_for: Connect, in_background: Background
) -> None:
    transport = await transport_for(ALL)
    in_background(transport, *numbered(1))
    async with transport.subscribe(ALL) as subscription:
        deliveries = await receive_count(subscription, 1)
    await subscription.settle(deliveries)
    await subscription.release(deliveries)
    async with transport.subscribe(ALL) as subscription:
        assert bodies(await settle_count(subscription, 1)) == [b"0"]


async def test_nobody_bound_is_unroutable(transport_for: Connect) -> None:
    transport = await transport_for(SETTINGS, WORK)
    with pytest.raises(Unroutable):
        await transport.publish(event_message("platform.order.created"))
    with pytest.raises(Unroutable):
        await transport.publish(command_message(WORK)._replace(routing_key="nobody.commands"))
    with pytest.raises(Unroutable):
        await transport.publish(event_message()._replace(exchange="no.such.exchange"))


async def test_a_refused_publish_disturbs_no_other(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(WORK)
    published = in_background(transport, *[command_message(WORK, body=b"%d" % number) for number in range(20)])
    refused = [transport.publish(event_message()) for _ in range(20)]
    results = await asyncio.gather(*refused, return_exceptions=True)
    assert [type(result) for result in results] == [Unroutable] * 20
    async with transport.subscribe(WORK) as subscription:
        assert len(await settle_count(subscription, 20)) == 20
        await asyncio.gather(*published)


async def test_a_full_queue_refuses_and_takes_again_once_drained(
    transport_for: Connect, in_background: Background
) -> None:
    transport = await transport_for(SMALL)
    tasks: list[asyncio.Task[None]] = []
    # A quorum queue notices its bound a few messages late.
    async with asyncio.timeout(20):
        while not any(was_refused(task) for task in tasks):
            tasks += in_background(transport, command_message(SMALL))
            await asyncio.wait(tasks[-1:], timeout=0.1)
    taken = [task for task in tasks if not was_refused(task)]
    assert len(taken) >= SMALL.most_length
    async with transport.subscribe(SMALL) as subscription:
        await settle_count(subscription, len(taken))
        await nothing_waits(transport, SMALL)
        again = in_background(transport, command_message(SMALL))
        await settle_count(subscription, 1)
        await asyncio.gather(*again)


def was_refused(task: "asyncio.Task[None]") -> bool:
    return task.done() and isinstance(task.exception(), Unroutable)


async def test_one_consumer_at_a_time_reads_and_the_next_takes_over(
    transport_for: Connect, in_background: Background
) -> None:
    transport = await transport_for(WORK)
    messages = [command_message(WORK, body=b"%d" % number) for number in range(4)]
    async with AsyncExitStack() as first_alive, AsyncExitStack() as second_alive:
        first = await first_alive.enter_async_context(transport.subscribe(WORK, prefetch=2))
        second = await second_alive.enter_async_context(transport.subscribe(WORK))
        reading = asyncio.create_task(second.receive(4))
        in_background(transport, *messages)
        held = await receive_count(first, 2)
        assert bodies(held) == [b"0", b"1"]
        await asyncio.wait([reading], timeout=0.2)
        assert not reading.done()
        await first.settle(held[:1])
        await first_alive.aclose()
        taken_over = await reading
        taken_over += await receive_count(second, 3 - len(taken_over))
        assert bodies(taken_over) == [b"1", b"2", b"3"]
        await second.settle(taken_over)


async def test_competing_consumers_share_a_queue_that_allows_it(
    transport_for: Connect, in_background: Background
) -> None:
    transport = await transport_for(SHARED)
    async with transport.subscribe(SHARED, prefetch=1) as one, transport.subscribe(SHARED, prefetch=1) as other:
        in_background(transport, command_message(SHARED, body=b"0"), command_message(SHARED, body=b"1"))
        first, second = await asyncio.gather(one.receive(1), other.receive(1))
        assert sorted(bodies([*first, *second])) == [b"0", b"1"]
        await one.settle(first)
        await other.settle(second)


async def test_a_reply_reaches_the_queue_it_names(transport_for: Connect) -> None:
    transport = await transport_for()
    async with transport.replies("gateway.replies.one") as one, transport.replies("gateway.replies.two") as two:
        await transport.reply(reply_message("gateway.replies.two", body=b"for two"))
        await transport.reply(reply_message("gateway.replies.one", body=b"for one"))
        received = await one.receive(10)
        assert bodies(received) == [b"for one"]
        await one.settle(received)
        assert bodies(await two.receive(10)) == [b"for two"]


async def test_a_reply_to_a_queue_that_is_gone_raises_nothing(transport_for: Connect) -> None:
    transport = await transport_for()
    await transport.reply(reply_message("gateway.replies.never"))
    async with transport.replies("gateway.replies.ended"):
        pass
    await transport.reply(reply_message("gateway.replies.ended"))
    async with transport.replies("gateway.replies.still-works") as subscription:
        await transport.reply(reply_message("gateway.replies.still-works", body=b"here"))
        assert bodies(await subscription.receive(10)) == [b"here"]


async def test_a_listener_hears_matching_events_from_now_on(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    async with transport.subscribe(ALL) as durable:
        before = in_background(transport, event_message("reeve.setting.changed.v1", body=b"before"))
        await settle_count(durable, 1)
        await asyncio.gather(*before)
        async with transport.listen(("reeve.setting.#", "reeve.alert.*.v1")) as live:
            in_background(
                transport,
                event_message("reeve.alert.raised.v1", body=b"raised"),
                event_message("platform.order.created", body=b"not ours"),
                event_message("reeve.setting.changed.v1", body=b"changed"),
            )
            assert bodies(await receive_count(live, 2)) == [b"raised", b"changed"]
            await settle_count(durable, 3)


async def test_a_listener_does_not_hold_back_the_publisher(transport_for: Connect) -> None:
    transport = await transport_for(WORK)
    async with transport.listen(("#",)):
        async with asyncio.timeout(5):
            await transport.publish(event_message())


async def test_a_listener_that_does_not_read_keeps_the_newest(transport_for: Connect) -> None:
    transport = await transport_for(WORK)
    surplus = 60
    async with transport.listen(("#",)) as live:
        for first in range(0, MOST_LISTENED + surplus, 500):
            numbers = range(first, min(first + 500, MOST_LISTENED + surplus))
            await asyncio.gather(*(transport.publish(event_message(body=b"%d" % number)) for number in numbers))
        heard = bodies(await receive_count(live, MOST_LISTENED))
        assert heard == [b"%d" % number for number in range(surplus, MOST_LISTENED + surplus)]


async def test_dead_letters_are_counted_beside_their_queue(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(WORK)
    assert await transport.depth(WORK.dead) == 0
    published = in_background(transport, command_message(WORK))
    async with transport.subscribe(WORK) as subscription:
        deliveries = await receive_count(subscription, 1)
        await transport.dead_letter(WORK, deliveries[0].message, reason="malformed: no body")
        await subscription.settle(deliveries)
        await asyncio.gather(*published)
    await eventually(lambda: depth_is(transport, WORK.dead, 1))
    await nothing_waits(transport, WORK)


async def test_depth_counts_what_waits(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    assert await transport.depth(ALL.name) == 0
    in_background(transport, *numbered(3))
    await eventually(lambda: depth_is(transport, ALL.name, 3))
    with pytest.raises(ConnectionError):
        await transport.depth("no.such.queue")


async def test_every_property_survives(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    sent = Message(
        body='{"name":"Zoë"}'.encode(),
        content_type="application/cloudevents-batch+json",
        exchange=EVENTS,
        routing_key="reeve.setting.changed.v1",
        message_id="0192f0c4-0000-7000-8000-000000000001",
        type="reeve.setting.changed.v1",
        app_id="settings",
        headers={"cloudEvents_subject": "setting/theme", "count": 3, "is_new": True, "nothing": None},
        correlation_id="request-12345678",
        reply_to="gateway.replies.one",
    )
    in_background(transport, sent)
    async with transport.subscribe(ALL) as subscription:
        (received,) = await settle_count(subscription, 1)
    assert received._replace(sender=None) == sent


async def test_the_sender_is_who_the_broker_vouches_for(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    in_background(transport, event_message()._replace(sender="reeve_audit"))
    async with transport.subscribe(ALL) as subscription:
        (received,) = await settle_count(subscription, 1)
    assert received.sender == ("guest" if transport.kind == "rabbitmq" else None)


async def test_an_empty_body_and_a_large_one_arrive_whole(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    large = bytes(range(256)) * 4096
    in_background(transport, event_message(body=b""), event_message(body=large))
    async with transport.subscribe(ALL) as subscription:
        assert bodies(await settle_count(subscription, 2)) == [b"", large]


async def test_closing_ends_consumers_that_wait(transport_for: Connect) -> None:
    transport = await transport_for(ALL, WORK)
    async with (
        transport.subscribe(ALL) as durable,
        transport.replies("gateway.replies.one") as replies,
        transport.listen(("#",)) as live,
    ):
        waiting = [asyncio.create_task(subscription.receive(10)) for subscription in (durable, replies, live)]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            await transport.close()
            results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(result, ConnectionError) for result in results] == [True, True, True]


async def test_after_closing_nothing_is_taken(transport_for: Connect) -> None:
    transport = await transport_for(WORK)
    assert transport.is_connected
    await transport.close()
    await transport.close()
    assert not transport.is_connected
    with pytest.raises(Unconfirmed):
        await transport.publish(command_message(WORK))
    with pytest.raises(Unconfirmed):
        await transport.dead_letter(WORK, command_message(WORK), reason="closed")
    with pytest.raises(ConnectionError):
        async with transport.subscribe(WORK):
            pass
    await transport.reply(reply_message("gateway.replies.one"))


async def test_a_cancelled_receive_loses_nothing(transport_for: Connect, in_background: Background) -> None:
    transport = await transport_for(ALL)
    async with transport.subscribe(ALL) as subscription:
        for number in range(20):
            waiting = asyncio.create_task(subscription.receive(10))
            await asyncio.sleep(0)
            published = in_background(transport, event_message(body=b"%d" % number))
            await asyncio.sleep(0.001 * (number % 4))
            waiting.cancel()
            result = (await asyncio.gather(waiting, return_exceptions=True))[0]
            received = await subscription.receive(10) if isinstance(result, BaseException) else result
            assert bodies(received) == [b"%d" % number]
            await subscription.settle(received)
            await asyncio.gather(*published)


async def depth_is(transport: Transport, queue_name: str, depth: int) -> bool:
    return await transport.depth(queue_name) == depth
