"""What nobody may send, sent over a real broker by users of its own: parked with the reason, without effect, and told once.

Who sends is the broker's word, so each user here is one of the broker's, with rights as an operator might give too many.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import asyncpg
import httpx
import orjson
import pytest

from deploy.make_env import password_hash
from libs.common.broker.declare import Names
from libs.common.broker.topology import AUDIT_EVENTS, COMMANDS, EVENTS, SETTINGS_COMMANDS, Queue
from libs.common.delivery.refusals import NOBODY
from libs.common.events.envelope import BATCH, MOST_DEPTH, MOST_EVENT_BYTES, STRUCTURED
from libs.common.ids import new_id
from tests.demo.administrator import Administrator
from tests.e2e.steps import entries, import_failed
from tests.support.broker_queues import lying_in
from tests.support.eventually import eventually
from tests.support.platforms import running_services
from tests.support.postgres import PlatformDatabases
from tests.support.processes import Platform
from tests.support.rabbitmq import private_node
from tests.support.stem import Stem

pytestmark = pytest.mark.timeout(300)

SHOP, THIEF, VANDAL = "shop", "thief", "vandal"
"""A registered platform; somebody whom only the broker knows; and somebody who pretends to be a service."""
USERS = [
    {
        "name": user, "password_hash": password_hash("a-password", salt=b"salt"), "tags": [],
        "hashing_algorithm": "rabbit_password_hashing_sha256",
    }
    for user in (SHOP, THIEF, VANDAL)
]  # fmt: skip
PERMISSIONS = [
    {"user": user, "vhost": "/", "configure": "^$", "write": ".*", "read": "^$"} for user in (SHOP, THIEF, VANDAL)
]
FLOOD = 300
WITHIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Poison:
    """One message that may not come in, and what its dead letter says."""

    user: str
    reason: str
    body: bytes
    says: str = ""
    content_type: str = STRUCTURED
    app_id: str | None = None
    is_named: bool = True
    """Whether the message says which user sends it; the broker vouches for nobody where it does not."""

    @property
    def sender(self) -> str:
        return self.user if self.is_named else NOBODY


def an_event(**given: Any) -> bytes:
    made = {**import_failed(new_id()), "data": {"store_name": "Rose & Co"}, **given}
    return orjson.dumps({name: value for name, value in made.items() if value is not None})


def deep(levels: int) -> bytes:
    return an_event().replace(b'"Rose & Co"', b'{"a":' * levels + b"1" + b"}" * levels)


POISON = {
    "a user that nobody registered": Poison(THIEF, "sender_not_registered", an_event()),
    "another's source": Poison(SHOP, "source_not_allowed", an_event(source="/platform/bank"), "shop may not speak for"),
    "a service's name": Poison(
        VANDAL, "source_not_allowed", an_event(source="/reeve/gateway", type="reeve.client.registered.v1"), "only Reeve's",
        app_id="gateway",
    ),
    "a service's name from nobody": Poison(
        VANDAL, "source_not_allowed", an_event(source="/reeve/gateway", type="reeve.client.registered.v1"), "only Reeve's",
        app_id="gateway", is_named=False,
    ),
    "a platform's source from nobody": Poison(SHOP, "sender_not_registered", an_event(), is_named=False),
    "a type of somebody else": Poison(SHOP, "event_type_not_allowed", an_event(type="com.bank.paid.v1")),
    "a type that there is not": Poison(SHOP, "unknown_event_type", an_event(type="platform.import.failed.v9")),
    "another version of CloudEvents": Poison(THIEF, "malformed", an_event(specversion="2.0"), "specversion"),
    "data that do not fit": Poison(SHOP, "invalid_event", an_event(data={"store_name": 7}), "store_name"),
    "too large": Poison(SHOP, "too_large", an_event(data={"store_name": "x" * MOST_EVENT_BYTES})),
    "too deep": Poison(SHOP, "malformed", deep(MOST_DEPTH + 10), "nested deeper"),
    "no end": Poison(VANDAL, "malformed", b"[" * 100_000, "not JSON", content_type=BATCH),
}  # fmt: skip
"""No two of one user and reason, so that each has a security event of its own."""


@dataclass(slots=True)
class Site:
    """A platform on a broker with users of its own."""

    platform: Platform
    port: int
    admin: Administrator
    database: asyncpg.Connection
    channels: dict[str, aio_pika.abc.AbstractChannel] = field(default_factory=dict)

    @property
    def names(self) -> Names:
        return Names(self.platform.namespace)

    async def send(self, one: Poison, *, exchange: str = EVENTS, user_id: str | None = None) -> str:
        """Publish as the user, who says who they are; the message's id."""
        message_id = new_id()
        message = aio_pika.Message(
            one.body,
            content_type=one.content_type,
            app_id=one.app_id,
            user_id=(user_id or one.user) if one.is_named else None,
            message_id=message_id,
        )
        there = await self.channels[one.user].get_exchange(self.names.on_broker(exchange), ensure=False)
        key = "com.shop.sold.v1" if exchange == EVENTS else SETTINGS_COMMANDS.name
        await there.publish(message, routing_key=key)
        return message_id

    async def letters(self, message_id: str, schema: str = "audit") -> list[str]:
        """The reasons of its dead letters."""
        sql = f"SELECT reason FROM {schema}.dead_letters WHERE message_id = $1"
        return [str(row["reason"]) for row in await self.database.fetch(sql, message_id)]

    async def dead_copies(self, queue: Queue) -> list[bytes]:
        """What lies in a queue's dead-letter queue on the broker."""
        found = await lying_in(self.platform.amqp_url, self.platform.namespace, queues=[queue])
        return [said for name, said in found if name == queue.dead]

    async def security_events(self, **wanted: str) -> list[dict[str, Any]]:
        """Those about refused messages of one sender and reason."""
        asked = {"event_type": "message_refused", "limit": 200}
        answer = await self.admin.call("GET", "/security/events", params=asked)
        assert answer.status_code == 200, answer.text
        return [one for one in answer.json()["events"] if one["subject"] == f"{wanted['sender']}:{wanted['reason']}"]

    async def effects(self) -> dict[str, int]:
        """How much there is of whatever an event may have made."""
        tables = ("audit.entries", "notifications.notifications", "notifications.alerts", "settings.settings")
        return {name: await self.database.fetchval(f"SELECT count(*) FROM {name}") for name in tables}


@pytest.fixture(scope="module")
async def site(
    stem: Stem, platform_databases: PlatformDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """Four services, and the three users, who may write wherever they like."""
    folder = tmp_path_factory.mktemp("site")
    definitions = folder / "users.json"
    definitions.write_bytes(orjson.dumps({"users": USERS, "permissions": PERMISSIONS}))
    async with private_node() as node:
        await node.control("import_definitions", str(definitions))
        async with (
            running_services(folder, databases=platform_databases, amqp_url=node.url, launcher=stem) as running,
            httpx.AsyncClient(base_url=running.url, timeout=15) as http,
        ):
            admin = await Administrator.sign_in(http, email=running.email, password=running.password)
            database = await asyncpg.connect(running.admin_database)
            made = Site(running, node.ports[0], admin, database)
            connections = []
            for user in (SHOP, THIEF, VANDAL):
                connections.append(await aio_pika.connect(f"amqp://{user}:a-password@127.0.0.1:{node.ports[0]}/"))
                made.channels[user] = await connections[-1].channel()
            yield made
            for connection in connections:
                await connection.close()
            await database.close()


@pytest.mark.parametrize("kind", POISON)
async def test_poison_is_parked_with_its_reason_without_effect_and_told_once(site: Site, kind: str) -> None:
    one = POISON[kind]
    message_id = await site.send(one)

    async def is_told() -> list[dict[str, Any]]:
        return await site.security_events(sender=one.sender, reason=one.reason)

    await eventually(is_told, within_seconds=WITHIN_SECONDS)
    (event,) = await is_told()
    assert (event["severity"], event["rule"]) == ("medium", "refused_messages")
    assert event["details"]["reason"] == one.reason
    (reason,) = await site.letters(message_id)
    assert reason.partition(":")[0] == one.reason
    assert one.says in reason
    (copy,) = [said for said in await site.dead_copies(AUDIT_EVENTS) if said.startswith(one.body)]
    said = copy.removeprefix(one.body).decode()
    assert re.search(rf"'x-reeve-reason': ['\"]{one.reason}", said)
    assert f"'x-reeve-sender': '{one.user if one.is_named else ''}'" in said
    for schema in ("audit", "notifications"):
        assert len(await site.letters(message_id, schema)) == 1
    sql = (
        "SELECT count(*) FROM audit.entries WHERE action = 'refuse_message'"
        " AND details->>'sender' = $1 AND details->>'reason' = $2"
    )
    assert await site.database.fetchval(sql, one.sender, one.reason) == 1


async def test_nothing_that_was_refused_has_any_effect(site: Site) -> None:
    """Beside what tells of it: and a good event behind it is taken."""
    before = await site.effects()
    for one in POISON.values():
        await site.send(one)
    mark = new_id()
    await site.send(Poison(SHOP, "", orjson.dumps(import_failed(mark))))
    await entries(site.admin, 1, action="platform.import.failed.v1", target_id=mark)
    counted = "SELECT count(*) FROM audit.entries WHERE source = '/platform/shop'"
    assert await site.database.fetchval(counted) == 1
    after = await site.effects()
    assert (after["notifications.notifications"], after["notifications.alerts"], after["settings.settings"]) == (
        before["notifications.notifications"] + 1, before["notifications.alerts"], before["settings.settings"],
    )  # fmt: skip


async def test_the_broker_itself_refuses_a_name_that_is_not_the_senders(site: Site) -> None:
    connection = await aio_pika.connect(f"amqp://{VANDAL}:a-password@127.0.0.1:{site.port}/")
    site.channels["forger"] = await connection.channel()
    with pytest.raises(aio_pika.exceptions.AMQPError, match="PRECONDITION_FAILED"):
        await site.send(Poison("forger", "", an_event()), user_id="reeve_gateway")
    await connection.close()


async def test_a_command_of_a_stranger_is_parked_and_told_as_well(site: Site) -> None:
    command = an_event(
        type="reeve.command.setting.change.v1", source="/reeve/gateway", data={"action": "update_setting"}
    )
    message_id = await site.send(Poison(THIEF, "", command, app_id="gateway"), exchange=COMMANDS)

    async def is_told() -> list[dict[str, Any]]:
        return await site.security_events(sender=THIEF, reason="source_not_allowed")

    await eventually(is_told, within_seconds=WITHIN_SECONDS)
    assert [one.partition(":")[0] for one in await site.letters(message_id, "settings")] == ["source_not_allowed"]
    (event,) = await is_told()
    assert event["details"]["queue"] == SETTINGS_COMMANDS.name


async def test_a_flood_is_a_count_and_no_flood_of_events(site: Site) -> None:
    parked = "SELECT count(*) FROM audit.dead_letters WHERE reason LIKE 'event_type_not_allowed:%'"
    told = "SELECT count(*) FROM audit.entries WHERE action = 'refuse_message'"
    before, told_before = await site.database.fetchval(parked), await site.database.fetchval(told)
    for _ in range(FLOOD):
        await site.send(Poison(SHOP, "", an_event(type="com.bank.paid.v1")))

    async def is_parked() -> bool:
        return bool(await site.database.fetchval(parked) == before + FLOOD)

    await eventually(is_parked, within_seconds=WITHIN_SECONDS)
    assert len(await site.security_events(sender=SHOP, reason="event_type_not_allowed")) == 1
    # What the tests before sent is told in its minute's turn, too.
    assert await site.database.fetchval(told) - told_before <= 2 * len(POISON)
