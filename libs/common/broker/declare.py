"""The topology on RabbitMQ: declared by us, or found as the operator's definitions file declared it.

A namespace prefixes every exchange and queue, so that test runs share one broker; routing keys stay
as they are. Only arguments that RabbitMQ 3.10 and 4.x both know are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiormq.channel import Channel
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity
from pamqp.common import FieldValue

from libs.common.broker.link import BROKER_ERRORS, Link, close_channel
from libs.common.broker.topology import COMMANDS, DEAD, DELIVERY_LIMIT, EVENTS, MOST_DEAD_LENGTH, Queue

Arguments = dict[str, FieldValue]

EXCHANGES = {EVENTS: "topic", COMMANDS: "direct", DEAD: "direct"}
DEAD_DELIVERY_LIMIT = 1_000_000
"""Looking at a dead letter and putting it back must never lose it, as RabbitMQ 4's default of 20 would."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names on the broker of what the topology names."""

    namespace: str

    def on_broker(self, name: str) -> str:
        """The name with the namespace."""
        return f"{self.namespace}.{name}" if self.namespace else name

    def in_topology(self, name: str) -> str:
        """The name without the namespace."""
        return name.removeprefix(f"{self.namespace}.") if self.namespace else name


def queue_arguments(queue: Queue, names: Names) -> Arguments:
    """A quorum queue that refuses when full, and dead-letters at least once what was delivered too often."""
    arguments: Arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-max-length": queue.most_length,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": names.on_broker(DEAD),
        "x-dead-letter-routing-key": queue.name,
        "x-dead-letter-strategy": "at-least-once",
    }
    if queue.single_active:
        arguments["x-single-active-consumer"] = True
    return arguments


def dead_arguments() -> Arguments:
    """A quorum queue that keeps its letters; when it is full they stay in the queue they come from."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DEAD_DELIVERY_LIMIT,
        "x-max-length": MOST_DEAD_LENGTH,
        "x-overflow": "reject-publish",
    }


async def declare(link: Link, names: Names, queues: Sequence[Queue]) -> None:
    """Declare exchanges, queues and bindings; raises ConnectionError when they exist with other arguments."""
    channel = await link.channel(confirms=False)
    with BROKER_ERRORS:
        for exchange, kind in EXCHANGES.items():
            await channel.exchange_declare(names.on_broker(exchange), exchange_type=kind, durable=True)
        for queue in queues:
            await _declare_queue(channel, queue.dead, dead_arguments(), names)
            await channel.queue_bind(names.on_broker(queue.dead), names.on_broker(DEAD), routing_key=queue.name)
            await _declare_queue(channel, queue.name, queue_arguments(queue, names), names)
            for binding in queue.bindings:
                await channel.queue_bind(
                    names.on_broker(queue.name), names.on_broker(queue.exchange), routing_key=binding
                )
    await close_channel(channel)


async def _declare_queue(channel: Channel, name: str, arguments: Arguments, names: Names) -> None:
    await channel.queue_declare(names.on_broker(name), durable=True, arguments=arguments)


async def require(link: Link, names: Names, queues: Sequence[Queue]) -> None:
    """Check that the operator has declared everything; raises ConnectionError naming the first thing missing.

    What this user may not even look at is taken to be there: a service has no rights on another's queues.
    """
    wanted = [(True, name) for name in EXCHANGES]
    wanted += [(False, name) for queue in queues for name in (queue.name, queue.dead)]
    for is_exchange, name in wanted:
        await _require_one(link, names.on_broker(name), is_exchange=is_exchange)


async def _require_one(link: Link, name: str, *, is_exchange: bool) -> None:
    channel = await link.channel(confirms=False)
    try:
        if is_exchange:
            await channel.exchange_declare(name, passive=True)
        else:
            await channel.queue_declare(name, passive=True)
    except ChannelNotFoundEntity as error:
        kind = "exchange" if is_exchange else "queue"
        raise ConnectionError(f"the broker has no {kind} {name}, and this service may not declare it") from error
    except ChannelAccessRefused:
        return
    finally:
        await close_channel(channel)
