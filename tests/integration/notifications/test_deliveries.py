"""Links on their way to one person: each command sends one mail, whatever is repeated, refused or killed on the way."""

import asyncio
import signal
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import NOTIFICATIONS_COMMANDS, NOTIFICATIONS_EVENTS
from libs.common.broker.transport import Message, Transport
from libs.common.database.engine import Database, driver
from libs.common.delivery.arrivals import Refused
from libs.common.events.deliveries import LinkMail, SendLink
from libs.common.events.envelope import STRUCTURED, Event, encode
from libs.common.sealing import Unsealer, seal
from services.notifications.app import build
from services.notifications.channels.email import EmailChannel, server_of
from services.notifications.channels.outcomes import Outcome, Outgoing
from services.notifications.commands.deliveries import send_link
from services.notifications.config import Config, address_of
from services.notifications.deliverer import Deliverer
from tests.integration.notifications.desk import ADMIN, Desk, command
from tests.support.eventually import eventually
from tests.support.mail_server import HOST, MailServer, mail_server
from tests.support.postgres import PlatformDatabase
from tests.support.rabbitmq_fixtures import RabbitNamespace
from tests.support.stem import Stem

ROOT = Path(__file__).parents[3]
QUEUES = (NOTIFICATIONS_EVENTS, NOTIFICATIONS_COMMANDS)
KEY = b"n" * 32
UNSEALER = Unsealer(KEY)
TOKEN = "canary-Token_0123456789"
MAIL = LinkMail(address="ada@example.com", name="Ada", url=f"https://reeve.example.com/activate#token={TOKEN}")


def asked(*, public_key: bytes = UNSEALER.public_key, seconds: float = 3600, plain: bytes | None = None) -> Event:
    """A command as the gateway sends it."""
    data = SendLink(
        kind="activation", user_id=ADMIN, expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
        sealed=seal(public_key, plain if plain is not None else MAIL.model_dump_json().encode()),
    )  # fmt: skip
    return command(data)


async def accept(database: Database, *commands: Event) -> None:
    """Apply commands as the service does."""
    async with database.transaction() as session:
        await send_link("email")(session, commands)


def deliverer(database: Database, server: MailServer, **options: Any) -> Deliverer:
    found = server_of(f"smtp+plain://{HOST}:{server.port}")
    channel = EmailChannel(found, address_of("reeve@mail.example.com"), answer_seconds=0.5)
    return Deliverer(database, channel, UNSEALER, **options)


async def delivery(desk: Desk) -> dict[str, Any]:
    """The only one there is."""
    (row,) = await desk.rows("SELECT *, next_at > now() AS is_put_off FROM deliveries")
    return row


async def due_again(desk: Desk) -> None:
    async with desk.database.transaction() as session:
        await driver(session).execute("UPDATE deliveries SET next_at = now() - interval '1 second'")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    """A mail server that takes everything."""
    async with mail_server(tmp_path) as running:
        yield running


@pytest.mark.parametrize("broker", ["embedded", "rabbitmq"])
async def test_a_command_that_comes_three_times_sends_one_mail(
    config: Config, desk: Desk, server: MailServer, rabbitmq_namespace: RabbitNamespace, broker: str
) -> None:
    transport: Transport = (
        EmbeddedTransport(queues=QUEUES)
        if broker == "embedded"
        else await rabbitmq_namespace.connect(application="notifications", queues=QUEUES)
    )
    smtp = {"smtp_url": f"smtp+plain://{HOST}:{server.port}", "mail_from": "Reeve <reeve@mail.example.com>"}
    service = build(
        Config.model_validate({**config.model_dump(exclude_none=True), **smtp}),
        database=desk.database,
        transport=transport,
    )
    public_key = b64decode((config.keys / "notifications.key.pub").read_text())
    one, next_one = asked(public_key=public_key), asked(public_key=public_key)

    async def publish(command: Event) -> None:
        await transport.publish(
            Message(
                encode(command), STRUCTURED, NOTIFICATIONS_COMMANDS.exchange, NOTIFICATIONS_COMMANDS.name, command.id,
                command.type, app_id="gateway",
            )
        )  # fmt: skip

    async def sent(number: int) -> bool:
        return bool(await desk.value("SELECT count(*) = $1 FROM deliveries WHERE state = 'sent'", number))

    running = [asyncio.ensure_future(task()) for task in service.tasks]
    try:
        for _ in range(3):
            await publish(one)
        await eventually(lambda: sent(1))
        # The queue keeps its order: what comes behind a repetition is sent when that was seen.
        await publish(one)
        await publish(next_one)
        await eventually(lambda: sent(2))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert [taken.message["message-id"].partition("@")[0] for taken in server.taken] == [
        f"<{one.id}",
        f"<{next_one.id}",
    ]
    assert TOKEN in server.taken[0].part("plain")


async def test_what_was_sent_is_told_and_what_was_sealed_is_gone(desk: Desk, server: MailServer) -> None:
    one = asked()
    await accept(desk.database, one)
    assert TOKEN not in str(await desk.rows("SELECT d::text FROM deliveries AS d"))
    assert await deliverer(desk.database, server).deliver_next()
    assert not await deliverer(desk.database, server).deliver_next()
    row = await delivery(desk)
    assert (row["state"], row["sealed"], row["attempts"], row["last_error"]) == ("sent", "", 1, None)
    (event,) = [found for found in await desk.left() if found.type == "reeve.delivery.sent.v1"]
    assert (event.data["delivery_id"], event.data["user_id"], event.subject) == (one.id, ADMIN, f"user/{ADMIN}")
    assert (event.causationid, event.correlationid) == (one.id, one.correlationid)
    assert "ada@example.com" not in str(event)


async def test_a_server_that_says_later_gets_it_later_and_as_the_same_mail(desk: Desk, server: MailServer) -> None:
    server.rcpt_answers = ["450 4.2.0 greylisted", "451 4.3.0 not now"]
    await accept(desk.database, asked())
    for attempt in (1, 2):
        assert await deliverer(desk.database, server).deliver_next()
        row = await delivery(desk)
        assert (row["state"], row["attempts"], row["is_put_off"]) == ("waiting", attempt, True)
        assert row["last_error"].startswith("the server answered 45")
        assert not await deliverer(desk.database, server).deliver_next()
        await due_again(desk)
    assert await deliverer(desk.database, server).deliver_next()
    assert ((await delivery(desk))["state"], len(server.taken)) == ("sent", 1)


async def test_a_mail_that_may_have_arrived_is_repeated_under_its_own_id(desk: Desk, server: MailServer) -> None:
    server.data_answers = ["hang", "drop"]
    one = asked()
    await accept(desk.database, one)
    for _ in range(3):
        assert await deliverer(desk.database, server).deliver_next()
        await due_again(desk) if (await delivery(desk))["state"] == "waiting" else None
    assert [taken.message["message-id"] for taken in server.taken] == [f"<{one.id}@mail.example.com>"] * 3
    assert len({taken.message["date"] for taken in server.taken}) == 1
    assert (await delivery(desk))["state"] == "sent"


async def test_what_is_refused_for_good_is_told_without_the_address(desk: Desk, server: MailServer) -> None:
    server.rcpt_answers = ["550 5.1.1 ada@example.com is nobody here"]
    await accept(desk.database, asked())
    assert await deliverer(desk.database, server).deliver_next()
    row = await delivery(desk)
    assert (row["state"], row["sealed"], row["last_error"]) == ("failed", "", "the server answered 550")
    (event,) = [found for found in await desk.left() if found.type == "reeve.delivery.failed.v1"]
    assert (event.data["reason"], event.data["outcome"]) == ("the server answered 550", "failure")
    assert "ada@" not in str(event)


@pytest.mark.parametrize("case", ["expired", "for another key", "no link"])
async def test_what_can_be_of_no_use_is_given_up_and_keeps_nothing_back(
    desk: Desk, server: MailServer, case: str
) -> None:
    bad = {
        "expired": lambda: asked(seconds=-1),
        "for another key": lambda: asked(public_key=Unsealer(b"o" * 32).public_key),
        "no link": lambda: asked(
            plain=b'{"address": "ada@example.com\\r\\nBcc: e@x.example", "name": "A", "url": "https://x"}'
        ),
    }[case]()
    await accept(desk.database, bad, asked())
    worker = deliverer(desk.database, server)
    assert [await worker.deliver_next() for _ in range(3)] == [True, True, False]
    states = {row["id"]: row["state"] for row in await desk.rows("SELECT id::text, state FROM deliveries")}
    assert (states.pop(bad.id), set(states.values())) == ("failed", {"sent"})
    assert len(server.taken) == 1


async def test_several_deliverers_send_each_once(desk: Desk, server: MailServer) -> None:
    await accept(desk.database, *(asked() for _ in range(12)))

    async def drain() -> None:
        worker = deliverer(desk.database, server)
        while await worker.deliver_next():
            pass

    await asyncio.gather(*(drain() for _ in range(6)))
    assert len(server.taken) == 12
    assert len({taken.message["message-id"] for taken in server.taken}) == 12
    assert await desk.value("SELECT count(*) FROM deliveries WHERE state = 'sent' AND attempts = 1") == 12


class Broken:
    """A channel with a mistake in it."""

    name = "email"

    async def send(self, link: Outgoing) -> Outcome:
        raise KeyError(link.mail.url)


async def test_a_mistake_in_a_channel_keeps_nothing_back_and_prints_nothing(
    desk: Desk, server: MailServer, capfd: pytest.CaptureFixture[str]
) -> None:
    await accept(desk.database, asked())
    assert await Deliverer(desk.database, Broken(), UNSEALER).deliver_next()  # type: ignore[arg-type]
    assert ((await delivery(desk))["state"], (await delivery(desk))["last_error"]) == ("waiting", "KeyError")
    printed = capfd.readouterr()
    assert TOKEN not in printed.out + printed.err
    await due_again(desk)
    assert await deliverer(desk.database, server).deliver_next()
    assert len(server.taken) == 1


async def test_a_worker_that_comes_back_late_says_nothing_of_another_s_attempt(desk: Desk, server: MailServer) -> None:
    await accept(desk.database, asked())
    server.data_answers = ["hang"]
    late = asyncio.create_task(deliverer(desk.database, server, lease_seconds=0.0).deliver_next())
    await eventually(lambda: server.taken)
    assert await deliverer(desk.database, server).deliver_next()
    assert (await delivery(desk))["state"] == "sent"
    assert await late
    row = await delivery(desk)
    assert (row["state"], row["attempts"], row["last_error"]) == ("sent", 2, None)
    assert len([one for one in await desk.left() if one.type.startswith("reeve.delivery.sent")]) == 1


async def test_only_the_gateway_has_links_sent(desk: Desk) -> None:
    forged = asked()._replace(source="/platform/shop")
    with pytest.raises(Refused, match="source_not_allowed"):
        await accept(desk.database, forged)
    assert await desk.value("SELECT count(*) FROM deliveries") == 0


async def test_a_process_that_is_killed_after_the_mail_sends_it_again_and_no_other_mail(
    stem: Stem, platform_db: Callable[..., Awaitable[PlatformDatabase]], server: MailServer
) -> None:
    """What at least once means: one repetition, under the same id, and only of what was in the air."""
    platform = await platform_db("notifications")
    await platform.migrate("notifications")
    database = platform.database("notifications")
    desk = Desk(database)
    first, second = asked(), asked()
    await accept(database, first, second)

    async def run(crash_at: str) -> int:
        return await stem.run(
            "tests.integration.notifications.delivery_process", platform.urls["notifications"],
            f"smtp+plain://{HOST}:{server.port}", KEY.hex(), crash_at=crash_at,
        )  # fmt: skip

    assert await run("mail.after_data:2") == -signal.SIGKILL
    assert len(server.taken) == 2
    assert await run("") == 0
    assert len(server.taken) == 2, "another process has it until its time is over"
    await due_again(desk)
    assert await run("") == 0
    ids = [taken.message["message-id"] for taken in server.taken]
    assert (len(ids), len(set(ids)), ids[1]) == (3, 2, ids[2])
    assert await desk.value("SELECT count(*) FROM deliveries WHERE state = 'sent'") == 2
    await database.close()
