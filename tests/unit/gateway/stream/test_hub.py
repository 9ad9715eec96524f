"""The hub tells each client all that it may hear, once and in order, or says that something is missing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.delivery.packing import packs, to_message
from libs.common.errors import RateLimited
from libs.common.events.envelope import Event
from libs.common.identity import Actor
from libs.common.web.sse import Stream
from services.gateway.stream.hub import MOST_STREAMS, Hub
from services.gateway.stream.topics import Topic
from tests.support.eventually import eventually
from tests.support.makers import a_claimed_row
from tests.unit.gateway.stream.test_topics import admin

ALL = frozenset(Topic)
SETTINGS = frozenset({Topic.SETTINGS})
CHANGED = "reeve.setting.changed.v1"


class Scene:
    """A hub that hears, and the relay's side of its queue."""

    def __init__(self, transport: EmbeddedTransport, hub: Hub) -> None:
        self.transport = transport
        self.hub = hub

    async def publish(
        self, *numbers: int, wire_type: str = CHANGED, actor: str = "one", producer: str = "gateway"
    ) -> None:
        """Publish events with these numbers as the relay packs them."""
        rows = [a_claimed_row(number, type=wire_type, data={"key": f"k{number}"}, actorid=actor) for number in numbers]
        for one in packs(rows):
            await self.transport.publish(to_message(one, producer=producer))


@asynccontextmanager
async def hearing(
    *, heed: Callable[[Event], None] | None = None, on_break: Callable[[], None] = lambda: None
) -> AsyncIterator[Scene]:
    transport = EmbeddedTransport(queues=())
    hub = Hub(transport)
    broke = asyncio.Event()

    def on_break_too() -> None:
        broke.set()
        on_break()

    hub.heed(frozenset({CHANGED}) if heed else frozenset(), heed or (lambda event: None), on_break_too)
    task = asyncio.create_task(hub.run())
    await broke.wait()
    yield Scene(transport, hub)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await transport.close()


def frames(stream: Stream) -> list[tuple[str, str, dict[str, Any]]]:
    """What waits: event, id, data."""
    found = []
    for block in stream.take().decode().strip().split("\n\n"):
        lines = dict(line.partition(": ")[::2] for line in block.split("\n") if line)
        if lines:
            found.append((lines["event"], lines.get("id", ""), orjson.loads(lines["data"])))
    return found


def keys(stream: Stream) -> list[str]:
    return [str(data["data"]["key"]) for event, _, data in frames(stream) if event == "settings"]


def joined(
    scene: Scene, actor: Actor | None = None, topics: frozenset[Topic] = SETTINGS, last: str | None = None
) -> Stream:
    stream = Stream(most_frames=10_000)
    scene.hub.join(stream, actor or admin(), topics, last)
    return stream


async def test_a_client_hears_its_topics_in_order_with_its_place() -> None:
    async with hearing() as scene:
        stream = joined(scene)
        await scene.publish(1, 2, 3)
        await scene.publish(4, wire_type="reeve.alert.raised.v1")
        await scene.publish(5)
        await eventually(lambda: len(stream) == 4)
        found = frames(stream)
        assert [event for event, _, _ in found] == ["settings"] * 4
        assert [place for _, place, _ in found] == ["gateway-1", "gateway-2", "gateway-3", "gateway-5"]


async def test_resuming_anywhere_gives_the_rest_without_loss_or_repetition() -> None:
    async with hearing() as scene:
        first = joined(scene)
        await scene.publish(*range(1, 8))
        await scene.publish(*range(8, 12))
        await eventually(lambda: len(first) == 11)
        places = [place for _, place, _ in frames(first)]
        for seen, place in enumerate(places, start=1):
            again = joined(scene, admin(actor_id=place), last=place)
            assert keys(again) == [f"k{number}" for number in range(seen + 1, 12)]


async def test_resuming_between_two_messages_goes_on_with_what_comes() -> None:
    async with hearing() as scene:
        first = joined(scene)
        await scene.publish(1)
        await eventually(lambda: len(first) == 1)
        again = joined(scene, last="gateway-1")
        await scene.publish(2)
        await eventually(lambda: len(again) == 1)
        assert keys(again) == ["k2"]


@pytest.mark.parametrize("last", ["gateway-0", "gateway-99", "nonsense", "audit-1", "gateway-100.audit-7"])
async def test_a_place_that_is_not_held_is_a_gap(last: str) -> None:
    async with hearing() as scene:
        probe = joined(scene)
        await scene.publish(90)
        await eventually(lambda: len(probe) == 1)
        stream = joined(scene, last=last)
        assert frames(stream) == [("gap", "gateway-90", {"reason": "unknown_position"})]


async def test_a_hole_in_the_numbers_is_told_to_everybody_and_empties_the_caches() -> None:
    breaks: list[None] = []
    async with hearing(on_break=lambda: breaks.append(None)) as scene:
        stream, other = joined(scene), joined(scene, topics=frozenset({Topic.ALERTS}))
        await scene.publish(1)
        await scene.publish(3)
        await eventually(lambda: len(stream) == 3)
        assert [(event, place) for event, place, _ in frames(stream)] == [
            ("settings", "gateway-1"), ("gap", "gateway-1"), ("settings", "gateway-3"),
        ]  # fmt: skip
        assert [event for event, _, _ in frames(other)] == ["gap"]
        assert len(breaks) == 2


async def test_numbers_of_two_producers_do_not_disturb_each_other() -> None:
    async with hearing() as scene:
        stream = joined(scene)
        await scene.publish(1)
        await scene.publish(1, producer="settings")
        await scene.publish(2)
        await eventually(lambda: len(stream) == 3)
        assert [place for _, place, _ in frames(stream)] == [
            "gateway-1",
            "gateway-1.settings-1",
            "gateway-2.settings-1",
        ]


async def test_one_hears_of_ones_own_operations_alone() -> None:
    async with hearing() as scene:
        stream = joined(scene, admin("moderator", "one"), frozenset({Topic.OPERATIONS}))
        await scene.publish(1, actor="two")
        await scene.publish(2, actor="one")
        await eventually(lambda: len(stream) == 1)
        assert [place for _, place, _ in frames(stream)] == ["gateway-2"]


async def test_only_the_gateways_own_events_are_heeded() -> None:
    heeded: list[int | None] = []
    async with hearing(heed=lambda event: heeded.append(event.producerseq)) as scene:
        stream = joined(scene, topics=ALL)
        await scene.publish(1, producer="settings")
        await scene.publish(7)
        await eventually(lambda: len(stream) == 6)
        assert heeded == [7]


async def test_a_client_that_left_hears_nothing_and_ended_ones_are_chosen_by_actor() -> None:
    async with hearing() as scene:
        stream, other = Stream(), Stream()
        client = scene.hub.join(stream, admin(actor_id="one"), SETTINGS, None)
        scene.hub.join(other, admin(actor_id="two"), SETTINGS, None)
        assert scene.hub.has_listeners(Topic.SETTINGS)
        scene.hub.leave(client)
        scene.hub.end_where(lambda actor: actor.id == "two")
        assert (scene.hub.clients, stream.has_ended, other.has_ended) == (1, False, True)


async def test_a_sixth_stream_of_one_administrator_is_refused_until_one_has_ended() -> None:
    async with hearing() as scene:
        streams = [joined(scene) for _ in range(MOST_STREAMS)]
        with pytest.raises(RateLimited) as refused:
            joined(scene)
        assert (refused.value.code, scene.hub.clients) == ("too_many_streams", MOST_STREAMS)
        joined(scene, admin(actor_id="two"))
        streams[2].end()
        joined(scene)
