"""What the broker parked after too many deliveries comes back and takes effect once: on a real RabbitMQ and Postgres."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import text

from libs.common.broker.rabbitmq import RabbitTransport
from libs.common.broker.topology import AUDIT_EVENTS, DELIVERY_LIMIT, EVENTS
from libs.common.database.engine import Database
from libs.common.delivery.ahead import opened
from libs.common.delivery.arrivals import Refused
from libs.common.delivery.redeliveries import Redelivered, redeliver
from libs.common.delivery.subscriber import Subscriber
from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import Event
from tests.integration.delivery.test_delivery import Ledger, a_message, letters
from tests.support.eventually import eventually
from tests.support.makers import an_event
from tests.support.messages import receive_count
from tests.support.rabbitmq_fixtures import RabbitNamespace

QUEUE = replace(AUDIT_EVENTS, name="work.events", bindings=("reeve.request.#",))


@dataclass(slots=True)
class Stand:
    """A queue on a real broker, a schema of one's own, and what a handler was given."""

    transport: RabbitTransport
    database: Database
    ledger: Ledger

    def subscriber(self) -> Subscriber:
        return Subscriber(self.database, self.transport, QUEUE, handle=self.ledger.handle, catalog=CATALOG)

    async def park(self, *events: Event, **given: Any) -> None:
        """Publish, and lose the consumer until the broker has had enough."""
        before = await self.transport.depth(QUEUE.dead)
        for event in events:
            await self.transport.publish(a_message(event, app_id="gateway", exchange=EVENTS, **given))
        for _ in range(DELIVERY_LIMIT + 1):
            async with self.transport.subscribe(QUEUE) as subscription:
                await receive_count(subscription, len(events))
        await eventually(lambda: self.lie(before + len(events)))

    async def lie(self, count: int) -> bool:
        return await self.transport.depth(QUEUE.dead) == count

    async def copy(self, event: Event, **given: Any) -> None:
        """What the subscriber puts beside the row of a dead letter."""
        message = a_message(event, app_id="gateway", sender="guest", **given)
        await self.transport.dead_letter(QUEUE, message, reason="failed 5 times: ValueError")

    async def redeliver(self, *, most: int = 100) -> Redelivered:
        return await redeliver(self.subscriber(), source="/reeve/settings", most=most)

    async def told(self) -> list[str]:
        async with self.database.reading() as session:
            return list((await session.execute(text("SELECT convert_from(body, 'UTF8') FROM outbox"))).scalars())


@pytest.fixture
async def stand(rabbitmq_namespace: RabbitNamespace, database_for: Callable[..., Awaitable[Database]]) -> Stand:
    return Stand(await rabbitmq_namespace.connect(queues=(QUEUE,)), await database_for("settings"), Ledger())


async def test_a_parked_message_takes_effect_once_and_copies_stay(stand: Stand) -> None:
    events = [an_event().numbered(1), an_event().numbered(2)]
    # A copy lies before and behind what was parked, one of them of a message that had been parked once.
    await stand.copy(an_event().numbered(3), headers={"x-death": [{"reason": "delivery_limit"}]})
    await stand.park(*events, headers={"x-reeve-reason": "forged"})
    await stand.copy(an_event().numbered(4))

    assert await stand.redeliver() == Redelivered(taken=2, left=2, unseen=0)
    assert stand.ledger.seen == events
    await eventually(lambda: stand.lie(2))
    assert await stand.redeliver() == Redelivered(taken=0, left=2, unseen=0)
    [told] = await stand.told()
    assert '"type":"reeve.dead_letter.redelivered.v1"' in told
    assert '"count":2' in told
    assert await letters(stand.database) == []


async def test_a_message_that_comes_again_before_it_was_settled_takes_effect_once(stand: Stand) -> None:
    event = an_event().numbered(1)
    await stand.park(event)
    async with stand.transport.subscribe(replace(QUEUE, name=QUEUE.dead)) as subscription:
        [delivery] = await receive_count(subscription, 1)
        await stand.subscriber().take([opened(delivery)])
    await eventually(lambda: stand.lie(1))

    assert (await stand.redeliver()).taken == 1
    assert stand.ledger.seen == [event]
    await eventually(lambda: stand.lie(0))


async def test_what_still_fails_becomes_a_dead_letter_with_its_reason(stand: Stand) -> None:
    await stand.park(an_event().numbered(1))
    stand.ledger.fail = lambda event: Refused("never")

    assert (await stand.redeliver()).taken == 1
    assert await letters(stand.database) == ["never"]
    assert await stand.redeliver() == Redelivered(taken=0, left=1, unseen=0)


async def test_no_more_are_taken_than_asked_for(stand: Stand) -> None:
    await stand.park(*[an_event().numbered(number) for number in (1, 2, 3)])

    assert await stand.redeliver(most=2) == Redelivered(taken=2, left=0, unseen=1)
    assert len(stand.ledger.seen) == 2
    await eventually(lambda: stand.lie(1))
