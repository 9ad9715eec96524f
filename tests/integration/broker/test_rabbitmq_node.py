"""What needs a broker of one's own: its users, its alarms, its death."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from libs.common.broker.rabbitmq import connect_rabbitmq
from libs.common.broker.topology import COMMANDS, EVENTS, Queue
from libs.common.broker.transport import Transport, Unconfirmed, Unroutable
from tests.support.eventually import eventually
from tests.support.messages import bodies, command_message, event_message, settle_count
from tests.support.rabbitmq import private_node
from tests.support.rabbitmq_node import PrivateNode

WORK = Queue("work.commands", COMMANDS, ("work.commands",))
OTHER = Queue("other.events", EVENTS, ("platform.#",), single_active=False)


@pytest.fixture(scope="module")
async def node() -> AsyncIterator[PrivateNode]:
    """A node of this file's own."""
    async with private_node() as started:
        yield started


async def test_a_service_without_configure_rights_works_on_a_prepared_broker(node: PrivateNode) -> None:
    """As the deployed broker has it: its own queue to read, the exchanges to write, nothing to configure but replies."""
    owner = await connect_rabbitmq(node.url, application="operator", queues=(WORK, OTHER))
    await node.control("add_user", "reeve_work", "secret-of-work")
    await node.control(
        "set_permissions", "reeve_work",
        r"^gateway\.(replies|live)\..*$",
        r"^(reeve\.(events|commands|dead)|gateway\.(replies|live)\..*|amq\.default)$",
        r"^(work\.commands|reeve\.events|gateway\.(replies|live)\..*)$",
    )  # fmt: skip
    url = str(URL(node.url).with_user("reeve_work").with_password("secret-of-work"))
    service = await connect_rabbitmq(url, application="gateway", declare=False, queues=(WORK, OTHER))
    await service.publish(command_message(WORK))
    await service.publish(event_message("platform.order.created"))
    await service.dead_letter(WORK, command_message(WORK), reason="tried")
    with pytest.raises(Unroutable):
        await service.publish(event_message("nobody.listens"))
    async with service.subscribe(WORK) as subscription:
        (received,) = await settle_count(subscription, 1)
        assert received.sender == "reeve_work"
    with pytest.raises(ConnectionError, match="ACCESS_REFUSED"):
        async with service.subscribe(OTHER):
            pass
    async with service.replies("gateway.replies.one") as replies, service.listen(("#",)) as live:
        await service.publish(event_message("nobody.else.listens"))
        assert len(await live.receive(10)) == 1
        await service.reply(command_message(WORK)._replace(routing_key="gateway.replies.one"))
        assert len(await replies.receive(10)) == 1
    await service.close()
    await owner.close()


async def test_a_memory_alarm_stops_publishing_and_not_consuming(node: PrivateNode) -> None:
    queue = Queue("alarm.commands", COMMANDS, ("alarm.commands",))
    transport = await connect_rabbitmq(node.url, application="gateway", queues=(queue,), confirm_seconds=1)
    confirmed = [b"before the alarm"]
    await transport.publish(command_message(queue, body=confirmed[0]))
    try:
        await node.control("set_vm_memory_high_watermark", "absolute", "1MB")
        unknown = await _first_unconfirmed(transport, queue, confirmed)
        async with transport.subscribe(queue) as subscription:
            assert bodies(await settle_count(subscription, len(confirmed))) == confirmed
            assert transport.is_connected
            await node.control("set_vm_memory_high_watermark", "0.4")
            # A publish that timed out is unknown and not failed: here it arrives after all.
            assert bodies(await settle_count(subscription, 1)) == [unknown]
    finally:
        await node.control("set_vm_memory_high_watermark", "0.4")
    await transport.publish(command_message(queue))
    await transport.close()


async def _first_unconfirmed(transport: Transport, queue: Queue, confirmed: list[bytes]) -> bytes:
    """Publish until the alarm, which comes a moment after the command, holds one back; notes what passed before."""
    for number in range(1000):
        body = b"%d" % number
        try:
            await transport.publish(command_message(queue, body=body))
        except Unconfirmed:
            return body
        confirmed.append(body)
    raise AssertionError("a broker out of memory confirmed everything")


async def test_nothing_confirmed_is_lost_when_the_broker_is_killed(node: PrivateNode) -> None:
    transport = await connect_rabbitmq(node.url, application="gateway", queues=(WORK,))
    confirmed: set[bytes] = set()
    unknown: set[bytes] = set()
    is_over = False

    async def publish_steadily(worker: int) -> None:
        number = 0
        while not is_over:
            number += 1
            body = b"%d-%d" % (worker, number)
            try:
                await transport.publish(command_message(WORK, body=body))
                confirmed.add(body)
            except Unconfirmed:
                unknown.add(body)

    received: set[bytes] = set()

    async def consume_steadily() -> None:
        async with transport.subscribe(WORK, prefetch=64) as subscription:
            while True:
                batch = await subscription.receive(64)
                received.update(bodies(batch))
                await subscription.settle(batch)

    async with asyncio.TaskGroup() as group:
        publishers = [group.create_task(publish_steadily(worker)) for worker in range(20)]
        consumer = group.create_task(consume_steadily())
        await eventually(lambda: len(confirmed) > 500)
        # RabbitMQ 3.10 loses a quorum queue that is killed in the first second after its declaration.
        await asyncio.sleep(2)
        await node.kill()
        await eventually(lambda: not transport.is_connected)
        await node.start()
        await eventually(lambda: transport.is_connected, within_seconds=20)
        at_restart = len(confirmed)
        await eventually(lambda: len(confirmed) > at_restart + 500, within_seconds=20)
        is_over = True
        await asyncio.gather(*publishers)
        await eventually(lambda: confirmed <= received, within_seconds=20)
        consumer.cancel()
    assert unknown
    assert received <= confirmed | unknown
    await transport.close()
