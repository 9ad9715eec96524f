"""The whole service behind a broker: events and commands in, rows, replies and events out, each once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import (
    AUDIT_EVENTS,
    EVENTS,
    GATEWAY_OUTCOMES,
    NOTIFICATIONS_COMMANDS,
    NOTIFICATIONS_EVENTS,
)
from libs.common.broker.transport import Message, Transport
from libs.common.delivery.commands import CommandClient
from libs.common.events.envelope import STRUCTURED, Event, encode
from libs.common.events.notifications import CreateNotification, DeleteNotification, RaiseAlert, ResolveAlert
from libs.common.ids import new_id
from services.notifications.app import build
from services.notifications.config import Config
from tests.integration.notifications.desk import Desk, command, platform_event
from tests.support.eventually import eventually
from tests.support.rabbitmq_fixtures import RabbitNamespace

QUEUES = (NOTIFICATIONS_EVENTS, NOTIFICATIONS_COMMANDS)


@pytest.fixture(params=["embedded", "rabbitmq"])
async def transport(request: pytest.FixtureRequest, rabbitmq_namespace: RabbitNamespace) -> Transport:
    """A broker with the queues of this service alone."""
    if request.param == "embedded":
        return EmbeddedTransport(queues=QUEUES)
    return await rabbitmq_namespace.connect(application="notifications", queues=QUEUES)


@asynccontextmanager
async def running(*tasks: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    started = [asyncio.ensure_future(task()) for task in tasks]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


@pytest.fixture
async def replies(config: Config, desk: Desk, transport: Transport) -> AsyncIterator[CommandClient]:
    """The running service, and the gateway's end of its replies."""
    service = build(config, database=desk.database, transport=transport)
    client = CommandClient(transport)
    async with running(*service.tasks, client.run):
        yield client


def sent(event: Event) -> Message:
    """An event as the gateway's relay sends it."""
    return Message(encode(event), STRUCTURED, EVENTS, event.type, event.id, event.type, app_id="gateway")


async def ask(transport: Transport, replies: CommandClient, asked: Event, *, times: int = 1) -> Event:
    """Send a command, `times` over, and wait for its outcome."""
    outcome = replies.expect(asked.id)
    assert outcome is not None
    message = sent(asked)._replace(
        exchange=NOTIFICATIONS_COMMANDS.exchange,
        routing_key=NOTIFICATIONS_COMMANDS.name,
        reply_to=replies.reply_queue,
    )
    for _ in range(times):
        await transport.publish(message)
    return await asyncio.wait_for(outcome, 10)


async def everything_left_the_outbox(desk: Desk) -> bool:
    return bool(await desk.value("SELECT count(*) = 0 FROM outbox"))


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_platform_failure_becomes_a_notification_once_though_it_comes_three_times(
    desk: Desk, transport: Transport, replies: CommandClient
) -> None:
    failed, last = platform_event(store_name="Rose & Co"), platform_event("com.shop.order.placed.v1")
    before = counted("reeve_notifications_created_total", priority="high")
    for event in (failed, failed, failed, last):
        await transport.publish(sent(event))
    await eventually(lambda: counted("reeve_notifications_created_total", priority="high") == before + 1)
    assert await desk.value("SELECT count(*) FROM notifications") == 1
    await eventually(lambda: everything_left_the_outbox(desk))
    assert counted("reeve_notifications_created_total", priority="high") == before + 1


async def test_a_command_sent_twice_is_applied_once(desk: Desk, transport: Transport, replies: CommandClient) -> None:
    outcome = await ask(transport, replies, command(RaiseAlert(alert_type="system", title="x")), times=2)
    assert outcome.data["status"] == 201
    other = await ask(transport, replies, command(CreateNotification(type="x", title="x")))
    assert other.data["result"]["title"] == "x"
    assert await desk.value("SELECT occurrence_count FROM alerts") == 1


async def test_a_refusal_is_an_outcome_and_leaves_the_neighbours_alone(
    desk: Desk, transport: Transport, replies: CommandClient
) -> None:
    missing = command(DeleteNotification(notification_id=new_id()))
    wrong = command(CreateNotification(type="x", title="x"))
    wrong.data["title"] = "two\r\nlines"
    good = command(CreateNotification(type="x", title="good"))
    outcomes = await asyncio.gather(*(ask(transport, replies, asked) for asked in (missing, wrong, good)))
    assert [outcome.data["status"] for outcome in outcomes] == [404, 422, 201]
    assert outcomes[0].data["error"]["error"] == "notification_not_found"
    assert (outcomes[1].data["error"]["error"], outcomes[1].type) == ("validation_error", "reeve.operation.rejected.v1")
    assert "lines" not in str(outcomes[1].data["error"])
    assert [row["title"] for row in await desk.rows("SELECT title FROM notifications")] == ["good"]


async def test_the_gauge_follows_active_alerts(desk: Desk, transport: Transport, replies: CommandClient) -> None:
    raised = await ask(transport, replies, command(RaiseAlert(alert_type="system", severity="error", title="x")))
    await eventually(lambda: counted("reeve_alerts_active", severity="error") == 1)
    await ask(transport, replies, command(ResolveAlert(alert_id=raised.data["alert_id"])))
    await eventually(lambda: counted("reeve_alerts_active", severity="error") == 0)


async def test_hostile_events_make_plain_notifications_and_no_dead_letters(
    desk: Desk, transport: Transport, replies: CommandClient
) -> None:
    hostile = platform_event(
        store_name="<img src=x onerror=alert(1)>\r\nSet-Cookie: a=b",
        error_message="a\x00b\u202e" + "x" * 9000,
        job_id="\x00",
        action_url="//evil.example/",
    )
    foreign = platform_event("com.shop.x", severity="critical")._replace(
        data={"message": {"not": "text"}, "store_id": 2**64 - 1}
    )
    for event in (hostile, foreign):
        await transport.publish(sent(event))
    await eventually(lambda: counted_rows(desk, 2))
    rows = await desk.rows("SELECT title, message, action_url FROM notifications ORDER BY position")
    assert rows[0]["title"] == "Import failed: \u2039img src=x onerror=alert(1)> Set-Cookie: a=b"
    assert rows[0]["action_url"] is None
    assert "\x00" not in rows[0]["message"]
    assert await desk.value("SELECT count(*) FROM dead_letters") == 0


async def counted_rows(desk: Desk, count: int) -> bool:
    return bool(await desk.value("SELECT count(*) = $1 FROM notifications", count))


async def test_what_the_service_tells_of_itself_makes_nothing_more(
    desk: Desk, transport: Transport, replies: CommandClient
) -> None:
    await transport.publish(sent(platform_event("platform.error.critical.v1", severity="critical")))
    await eventually(lambda: counted_rows(desk, 1))
    await eventually(lambda: everything_left_the_outbox(desk))
    await transport.publish(sent(platform_event("com.shop.order.placed.v1")))
    assert await counted_rows(desk, 1)
    assert await desk.value("SELECT sum(occurrence_count)::int FROM alerts") == 1


def test_the_service_hears_every_event_and_the_gateway_hears_what_it_tells() -> None:
    assert NOTIFICATIONS_EVENTS.bindings == AUDIT_EVENTS.bindings == ("#",)
    told: Sequence[str] = GATEWAY_OUTCOMES.bindings
    assert {"reeve.notification.#", "reeve.alert.#"} <= set(told)
