"""Reading ahead: decoded while others commit, in order, bounded, and given back when nobody took it."""

import asyncio
from dataclasses import replace

import pytest

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import AUDIT_EVENTS
from libs.common.broker.transport import Message
from libs.common.delivery.ahead import ReadAhead
from libs.common.events.envelope import MOST_EVENT_BYTES, STRUCTURED, encode
from tests.support.eventually import eventually
from tests.support.makers import an_event

QUEUE = replace(AUDIT_EVENTS, name="test.events")


def a_message(name: str, *, body: bytes | None = None) -> Message:
    event = an_event(id=name, source="/platform/shop", type="com.shop.order.v1")
    return Message(
        body=encode(event) if body is None else body, content_type=STRUCTURED, exchange="reeve.events", routing_key="x",
        message_id=name, type=event.type, sender="shop",
    )  # fmt: skip


class Sending:
    """An in-process transport, and the messages that nobody has settled yet."""

    def __init__(self, *names: str) -> None:
        self.transport = EmbeddedTransport(queues=[QUEUE])
        self.under_way = [asyncio.ensure_future(self.transport.publish(a_message(name))) for name in names]

    async def close(self) -> None:
        for task in self.under_way:
            task.cancel()
        await asyncio.gather(*self.under_way, return_exceptions=True)
        await self.transport.close()


async def test_what_comes_while_a_batch_is_in_hand_is_decoded_and_taken_together() -> None:
    sending = Sending("a")
    async with sending.transport.subscribe(QUEUE) as subscription, ReadAhead(subscription, most=10) as ahead:
        assert [one.events[0].id for one in await ahead.take()] == ["a"]
        sending.under_way += [asyncio.ensure_future(sending.transport.publish(a_message(name))) for name in "bcd"]
        await eventually(lambda: len(ahead._opened) == 3)
        assert [one.events[0].id for one in await ahead.take()] == ["b", "c", "d"]
    await sending.close()


async def test_no_more_is_taken_than_allowed_until_somebody_takes_it_over() -> None:
    sending = Sending(*"abcdef")
    async with sending.transport.subscribe(QUEUE) as subscription, ReadAhead(subscription, most=2) as ahead:
        await eventually(lambda: len(ahead._opened) == 2)
        await asyncio.sleep(0)
        assert await sending.transport.depth(QUEUE.name) == 4
        found: list[str] = []
        while len(found) < 6:
            taken = await ahead.take()
            assert len(taken) <= 2
            found += [one.events[0].id for one in taken]
        assert found == list("abcdef")
    await sending.close()


async def test_what_nobody_took_goes_back_to_the_queue_in_order() -> None:
    sending = Sending(*"abc")
    async with sending.transport.subscribe(QUEUE) as subscription, ReadAhead(subscription, most=10) as ahead:
        await eventually(lambda: len(ahead._opened) == 3)
    async with sending.transport.subscribe(QUEUE) as subscription, ReadAhead(subscription, most=10) as ahead:
        await eventually(lambda: len(ahead._opened) == 3)
        assert [one.events[0].id for one in await ahead.take()] == ["a", "b", "c"]
    await sending.close()


async def test_the_end_of_the_transport_is_told_after_what_had_come() -> None:
    sending = Sending("a")
    async with sending.transport.subscribe(QUEUE) as subscription, ReadAhead(subscription, most=10) as ahead:
        await eventually(lambda: len(ahead._opened) == 1)
        await sending.close()
        await eventually(lambda: ahead._reader is not None and ahead._reader.done())
        assert [one.events[0].id for one in await ahead.take()] == ["a"]
        with pytest.raises(ConnectionError):
            await ahead.take()


@pytest.mark.parametrize(
    ("body", "fault"),
    [(b"{", "malformed: "), (b" " * (MOST_EVENT_BYTES + 1), "too_large: ")],
    ids=["no JSON", "too large"],
)
async def test_what_cannot_be_decoded_comes_with_its_reason(body: bytes, fault: str) -> None:
    sending = Sending()
    sending.under_way.append(asyncio.ensure_future(sending.transport.publish(a_message("a", body=body))))
    async with sending.transport.subscribe(QUEUE) as subscription, ReadAhead(subscription, most=10) as ahead:
        (one,) = await ahead.take()
        assert one.events == []
        assert (one.fault or "").startswith(fault)
    await sending.close()
