"""A real RabbitMQ loads the definitions, and its users can do exactly what their services do.

It is the newest node that is installed here; the compose file names a later version.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from libs.common.broker.rabbitmq import RabbitTransport, connect_rabbitmq
from libs.common.broker.topology import (
    AUDIT_COMMANDS,
    AUDIT_EVENTS,
    COMMANDS,
    DEAD,
    EVENTS,
    GATEWAY_OUTCOMES,
    NOTIFICATIONS_COMMANDS,
    NOTIFICATIONS_EVENTS,
    SETTINGS_COMMANDS,
    SETTINGS_EVENTS,
    Queue,
)
from libs.common.broker.transport import Message, Unconfirmed
from libs.common.ids import new_id
from tests.contract.deploy.conftest import Json
from tests.support.rabbitmq import private_node
from tests.support.rabbitmq_node import PrivateNode

READS = [
    ("gateway", GATEWAY_OUTCOMES),
    ("audit", AUDIT_COMMANDS),
    ("audit", AUDIT_EVENTS),
    ("settings", SETTINGS_COMMANDS),
    ("settings", SETTINGS_EVENTS),
    ("notifications", NOTIFICATIONS_COMMANDS),
    ("notifications", NOTIFICATIONS_EVENTS),
]
PUBLISHES = [
    ("gateway", EVENTS, "reeve.request.recorded.v1"),
    ("gateway", EVENTS, "com.shop.order.created.v1"),
    ("gateway", COMMANDS, AUDIT_COMMANDS.name),
    ("gateway", COMMANDS, SETTINGS_COMMANDS.name),
    ("gateway", COMMANDS, NOTIFICATIONS_COMMANDS.name),
    ("settings", EVENTS, "reeve.setting.changed.v1"),
    ("settings", EVENTS, "reeve.operation.rejected.v1"),
    ("notifications", EVENTS, "reeve.alert.raised.v1"),
    ("audit", EVENTS, "reeve.export.finished.v1"),
    ("audit", EVENTS, "reeve.saved_search.created.v1"),
    ("audit", EVENTS, "reeve.redaction.started.v1"),
    ("audit", EVENTS, "reeve.quarantine.replayed.v1"),
    ("audit", EVENTS, "reeve.audit.redacted.v1"),
    ("audit", EVENTS, "reeve.audit.retention.changed.v1"),
    ("audit", EVENTS, "reeve.sink.created.v1"),
    ("audit", EVENTS, "reeve.operation.rejected.v1"),
    ("audit", EVENTS, "reeve.message.refused.v1"),
    ("settings", EVENTS, "reeve.message.refused.v1"),
    ("notifications", EVENTS, "reeve.message.refused.v1"),
    ("audit", EVENTS, "reeve.dead_letter.replayed.v1"),
    ("gateway", EVENTS, "reeve.dead_letter.redelivered.v1"),
    ("settings", EVENTS, "reeve.dead_letter.replayed.v1"),
    ("notifications", EVENTS, "reeve.dead_letter.redelivered.v1"),
    ("audit", DEAD, AUDIT_EVENTS.name),
]
REFUSED = [
    ("gateway", EVENTS, "reeve.setting.changed.v1"),
    ("gateway", EVENTS, "reeve.export.finished.v1"),
    ("gateway", EVENTS, "reeve.audit.redacted.v1"),
    ("audit", EVENTS, "reeve.user.created.v1"),
    ("audit", COMMANDS, SETTINGS_COMMANDS.name),
    ("settings", COMMANDS, NOTIFICATIONS_COMMANDS.name),
    ("settings", EVENTS, "com.shop.order.created.v1"),
    ("notifications", EVENTS, "reeve.setting.changed.v1"),
]


@dataclass(slots=True)
class Broker:
    """A node with the definitions loaded, and the services' ways in."""

    node: PrivateNode
    passwords: dict[str, str]
    definitions: Path

    async def connect(self, service: str, *, declare: bool = False) -> RabbitTransport:
        """Connect as this service does in a container."""
        url = f"amqp://reeve_{service}:{self.passwords[service]}@127.0.0.1:{self.node.ports[0]}/reeve"
        return await connect_rabbitmq(url, application=f"reeve-{service}", declare=declare, confirm_seconds=3)


Connect = Callable[[str], Awaitable[RabbitTransport]]


@pytest.fixture(scope="module")
async def broker(
    operator_values: dict[str, str],
    definitions: dict[str, list[Json]],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Broker]:
    """A node of its own, with a new operator's definitions."""
    path = tmp_path_factory.mktemp("definitions") / "definitions.json"
    path.write_text(json.dumps(definitions))
    prefix = "REEVE_BROKER_PASSWORD_"
    passwords = {name.removeprefix(prefix).lower(): value for name, value in operator_values.items() if prefix in name}
    async with private_node() as node:
        await node.control("import_definitions", str(path))
        yield Broker(node, passwords, path)


@pytest.fixture
async def connect(broker: Broker) -> AsyncIterator[Connect]:
    """Connect as a service; closed afterwards."""
    opened: list[RabbitTransport] = []

    async def as_service(service: str) -> RabbitTransport:
        opened.append(await broker.connect(service))
        return opened[-1]

    yield as_service
    for transport in opened:
        await transport.close()


def _message(exchange: str, routing_key: str) -> Message:
    return Message(
        body=b"{}", content_type="application/json", exchange=exchange, routing_key=routing_key,
        message_id=new_id(), type=routing_key,
    )  # fmt: skip


@pytest.mark.parametrize(("service", "queue"), READS)
async def test_a_service_reads_its_queue_and_its_dead_letters(connect: Connect, service: str, queue: Queue) -> None:
    transport = await connect(service)

    async with transport.subscribe(queue), transport.subscribe(replace(queue, name=queue.dead)):
        pass


async def test_a_service_reads_no_others_queue(connect: Connect) -> None:
    for service in {service for service, _ in READS}:
        transport = await connect(service)
        for other, queue in READS:
            if other != service:
                for name in (queue.name, queue.dead):
                    with pytest.raises(ConnectionError, match="ACCESS_REFUSED"):
                        async with transport.subscribe(replace(queue, name=name)):
                            pass


@pytest.mark.parametrize(("service", "exchange", "key"), PUBLISHES)
async def test_a_service_publishes_what_is_its_own(connect: Connect, service: str, exchange: str, key: str) -> None:
    transport = await connect(service)

    await transport.publish(_message(exchange, key))


@pytest.mark.parametrize(("service", "exchange", "key"), REFUSED)
async def test_a_service_publishes_nothing_else(connect: Connect, service: str, exchange: str, key: str) -> None:
    transport = await connect(service)

    with pytest.raises(Unconfirmed, match="ACCESS_REFUSED"):
        await transport.publish(_message(exchange, key))


@pytest.mark.parametrize("service", ["settings", "notifications"])
async def test_replies_reach_the_gateway_with_their_sender(connect: Connect, service: str) -> None:
    gateway, answering = await connect("gateway"), await connect(service)
    queue = f"gateway.replies.{new_id()}"

    async with gateway.replies(queue) as replies:
        await answering.reply(_message("", queue))
        [delivery] = await replies.receive(1)

    assert delivery.message.sender == f"reeve_{service}"


async def test_live_updates_reach_the_gateway(connect: Connect) -> None:
    gateway, sending = await connect("gateway"), await connect("settings")

    async with gateway.listen(("#",)) as updates:
        await sending.publish(_message(EVENTS, "reeve.setting.changed.v1"))
        [delivery] = await updates.receive(1)

    assert delivery.message.sender == "reeve_settings"


async def test_only_the_gateway_makes_queues(connect: Connect) -> None:
    for service in ("audit", "settings", "notifications"):
        transport = await connect(service)
        with pytest.raises(ConnectionError, match="ACCESS_REFUSED"):
            async with transport.listen(("#",)):
                pass


async def test_a_platforms_user_sends_its_own_events_and_nothing_else(broker: Broker) -> None:
    """The commands are those that the operator's guide gives."""
    await broker.node.control("add_user", "shop", "a-password")
    await broker.node.control("set_permissions", "-p", "reeve", "shop", "^$", r"^reeve\.events$", "^$")
    rights = ("-p", "reeve", "shop", "reeve.events", r"^(com\.shop|platform)\.", "^$")
    await broker.node.control("set_topic_permissions", *rights)
    url = f"amqp://shop:a-password@127.0.0.1:{broker.node.ports[0]}/reeve"
    shop = await connect_rabbitmq(url, application="shop", declare=False, confirm_seconds=3)

    await shop.publish(_message(EVENTS, "com.shop.order.created.v1"))
    await shop.publish(_message(EVENTS, "platform.import.failed.v1"))
    for exchange, key in ((EVENTS, "reeve.user.created.v1"), (COMMANDS, SETTINGS_COMMANDS.name)):
        with pytest.raises(Unconfirmed, match="ACCESS_REFUSED"):
            await shop.publish(_message(exchange, key))
    with pytest.raises(ConnectionError, match="ACCESS_REFUSED"):
        async with shop.subscribe(AUDIT_EVENTS):
            pass
    await shop.close()


async def test_nobody_declares_the_topology(broker: Broker) -> None:
    for service in ("gateway", "audit", "settings", "notifications"):
        with pytest.raises(ConnectionError, match="ACCESS_REFUSED"):
            await broker.connect(service, declare=True)


async def test_loading_the_definitions_again_loses_nothing(broker: Broker, connect: Connect) -> None:
    audit = await connect("audit")
    await audit.publish(_message(DEAD, SETTINGS_EVENTS.name))
    before = await audit.depth(SETTINGS_EVENTS.dead)

    await broker.node.control("import_definitions", str(broker.definitions))

    assert before
    assert await audit.depth(SETTINGS_EVENTS.dead) == before
