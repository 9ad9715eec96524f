"""Messages that the broker itself parked, handed to their consumer again out of its dead-letter queue.

They are judged and applied here, below the consumer's own inbox, and not published to its queue once more: a message that
this service publishes bears this service's name, and whoever sent it first would not be known any longer.
"""

import asyncio
from dataclasses import dataclass, replace

from libs.common import logs
from libs.common.broker.rabbitmq_message import is_parked
from libs.common.crashpoint import crashpoint
from libs.common.database import outbox
from libs.common.delivery.ahead import opened
from libs.common.delivery.subscriber import MOST_MESSAGES, Subscriber
from libs.common.events.catalog import new_event
from libs.common.events.dead_letters import DeadLettersRedelivered

MOST_LOOKED_AT = 5_000
"""Messages of a dead-letter queue that are held at once: copies stay in hand until the end, so that one can look behind them."""
QUIET_SECONDS = 5.0
"""For how long a message is waited for that the broker counted: it may be in somebody else's hands."""

log = logs.get("redeliveries")


@dataclass(frozen=True, slots=True)
class Redelivered:
    """How many messages were handed over, how many copies of our own letters were left, and how many not looked at."""

    taken: int
    left: int
    unseen: int


async def redeliver(subscriber: Subscriber, *, source: str, most: int) -> Redelivered:
    """Take up to `most` parked messages of the subscriber's queue, and settle each once its effects are committed.

    One that is taken twice, as after a crash in between, takes effect once. Raises ConnectionError or TimeoutError when
    the broker is away, or lets this service not read its dead letters.
    """
    queue = subscriber.intake.queue
    waiting = await subscriber.transport.depth(queue.dead)
    taken = left = 0
    async with subscriber.transport.subscribe(replace(queue, name=queue.dead), prefetch=MOST_LOOKED_AT) as subscription:
        while taken < most and taken + left < waiting and left < MOST_LOOKED_AT:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    found = await subscription.receive(min(most - taken, waiting - taken - left, MOST_MESSAGES))
            except TimeoutError:
                break
            parked = [one for one in found if is_parked(one.message)]
            left += len(found) - len(parked)
            if parked:
                await subscriber.take([opened(one) for one in parked])
                crashpoint("cons.before_ack")
                await subscription.settle(parked)
                taken += len(parked)
    if taken:
        log.info("parked messages redelivered", queue=queue.name, count=taken)
        told = DeadLettersRedelivered(queue=queue.name, count=taken)
        async with subscriber.database.transaction() as session:
            event = new_event(told, source=source, subject=f"queue/{queue.name}", actor_type="system")
            await outbox.emit(session, event)
    return Redelivered(taken, left, max(waiting - taken - left, 0))
