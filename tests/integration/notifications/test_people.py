"""Notices that are one person's own, and what is left of a person who was erased: nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.common.database import dead_letters, outbox
from libs.common.database.dead_letters import DeadLetter
from libs.common.database.engine import driver
from libs.common.errors import Conflict, Invalid, NotFound
from libs.common.events.access import AccessRequested
from libs.common.events.catalog import MessageData, new_event
from libs.common.events.deliveries import LinkMail, NoticeLine, NoticeMail, SendLink, SendNotice
from libs.common.events.envelope import Event
from libs.common.events.notifications import (
    CreateNotification,
    DeleteNotification,
    ReadAllNotifications,
    ReadNotification,
)
from libs.common.events.users import UserDeleted, UserErased, UserStatusChanged
from libs.common.ids import new_id
from libs.common.sealing import Unsealer, seal
from services.notifications.channels.email import EmailChannel, server_of
from services.notifications.commands.deliveries import send_link
from services.notifications.commands.notices import send_notice
from services.notifications.config import address_of
from services.notifications.deliverer import Deliverer
from services.notifications.store import people
from tests.integration.notifications.conftest import Reader
from tests.integration.notifications.desk import ADMIN, OTHER, Desk, command, platform_event
from tests.support.mail_server import HOST, MailServer, mail_server

UNSEALER = Unsealer(b"n" * 32)
AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
NEW_DEVICE = NoticeLine(kind="new_device", at=AT, network="203.0.113.0/24", device="Unheard-of <b>on</b> Plan")
CHANGED = NoticeLine(kind="password_changed", at=AT + timedelta(minutes=1))
MAIL = NoticeMail(address="ada@example.com", name="Ada", lines=[NEW_DEVICE], url="https://reeve.example.com/sessions")


def notice(*lines: NoticeLine, user_id: str = ADMIN, **more: Any) -> Event:
    """A command as the gateway sends it."""
    mail = MAIL.model_copy(update={"lines": list(lines or MAIL.lines), **more})
    data = SendNotice(
        user_id=user_id, expires_at=datetime.now(UTC) + timedelta(days=1),
        sealed=seal(UNSEALER.public_key, mail.model_dump_json().encode()),
    )  # fmt: skip
    return command(data, admin_id="gateway")


def link(user_id: str = ADMIN) -> Event:
    mail = LinkMail(address="ada@example.com", name="Ada", url="https://reeve.example.com/activate#token=abc")
    data = SendLink(
        kind="activation", user_id=user_id, expires_at=datetime.now(UTC) + timedelta(days=1),
        sealed=seal(UNSEALER.public_key, mail.model_dump_json().encode()),
    )  # fmt: skip
    return command(data)


async def accept(desk: Desk, *commands: Event) -> None:
    handlers = {SendLink.TYPE: send_link("email"), SendNotice.TYPE: send_notice("email", UNSEALER)}
    for one in commands:
        async with desk.database.transaction() as session:
            await outbox.emit(session, *await handlers[one.type](session, [one]))


def told(data: MessageData, *, source: str = "/reeve/gateway") -> Event:
    return new_event(
        data, subject="user/x", actor_id=OTHER, actor_type="admin", correlation_id="request-9", source=source
    )


def erased(user_id: str = ADMIN) -> Event:
    return told(UserErased(user_id=user_id, fields=["email"], changes={}))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    """A mail server that takes everything."""
    async with mail_server(tmp_path) as running:
        yield running


async def deliver(desk: Desk, server: MailServer) -> None:
    channel = EmailChannel(server_of(f"smtp+plain://{HOST}:{server.port}"), address_of("reeve@mail.example.com"))
    deliverer = Deliverer(desk.database, channel, UNSEALER)
    while await deliverer.deliver_next():
        pass


async def test_a_notice_is_a_mail_and_a_notification(desk: Desk, server: MailServer) -> None:
    await accept(desk, notice(NEW_DEVICE, CHANGED, more=2))
    await deliver(desk, server)
    (mail,) = server.taken
    assert (mail.recipients, mail.message["subject"]) == (["ada@example.com"], "4 things happened to your account")
    plain, html = mail.part("plain"), mail.part("html")
    assert (
        "2026-01-02 03:05 UTC: Your password was changed.\r\n2026-01-02 03:04 UTC: Sign-in from a new device" in plain
    )
    assert "by Unheard-of <b>on</b> Plan in the network 203.0.113.0/24." in plain
    assert "&lt;b&gt;on" in html
    assert ("And 2 more." in plain, "https://reeve.example.com/sessions" in plain) == (True, True)
    kinds = [event.type for event in await desk.left()]
    assert kinds == ["reeve.notification.created.v1", "reeve.delivery.accepted.v1", "reeve.delivery.sent.v1"]
    sent = (await desk.left())[-1]
    assert (sent.data["kind"], sent.data["action"], sent.subject) == ("notice", "send_notice", f"user/{ADMIN}")
    (row,) = await desk.rows("SELECT state, sealed FROM deliveries")
    assert (row["state"], row["sealed"]) == ("sent", "")


async def test_one_notice_says_in_its_subject_what_it_is(desk: Desk, server: MailServer) -> None:
    await accept(desk, notice(url=None))
    await deliver(desk, server)
    (mail,) = server.taken
    assert mail.message["subject"] == "Sign-in from a new device"
    assert "Your sessions" not in mail.part("plain") + mail.part("html")


async def test_only_the_recipient_sees_counts_reads_and_deletes_it(desk: Desk, reader: Reader) -> None:
    await desk.ask(CreateNotification(type="announcement", title="For everybody"))
    await accept(desk, notice())
    mine = (await reader.get("")).json()
    (one,) = [one for one in mine["notifications"] if one["recipient_user_id"] == ADMIN]
    assert (mine["total"], mine["unread_count"], one["title"]) == (2, 2, "Sign-in from a new device")
    assert one["notification_metadata"]["device"] == NEW_DEVICE.device
    theirs = (await reader.get("", admin_id=OTHER)).json()
    assert ([found["title"] for found in theirs["notifications"]], theirs["total"], theirs["unread_count"]) == (
        ["For everybody"], 1, 1,
    )  # fmt: skip
    for target in ("/recent", "?is_read=false", "?type=account_notice"):
        assert one["id"] not in str((await reader.get(target, admin_id=OTHER)).json())
    assert (await reader.get("/unread-count", admin_id=OTHER)).json() == {"unread_count": 1}
    assert (await reader.get(f"/{one['id']}", admin_id=OTHER)).status_code == 404
    assert (await reader.get(f"/{one['id']}")).status_code == 200
    for asked in (ReadNotification(notification_id=one["id"]), DeleteNotification(notification_id=one["id"])):
        with pytest.raises(NotFound):
            await desk.ask(asked, admin_id=OTHER)
    assert (await desk.ask(ReadNotification(notification_id=one["id"])))["status"] == 200
    assert (await reader.get("?is_read=true")).json()["total"] == 1
    assert (await desk.ask(DeleteNotification(notification_id=one["id"])))["status"] == 204
    assert (await reader.get(f"/{one['id']}")).status_code == 404


async def test_what_was_not_sealed_to_us_is_refused_without_a_word_of_it(desk: Desk) -> None:
    other = Unsealer(b"o" * 32)
    for sealed in ("not sealed", seal(other.public_key, b"{}"), seal(UNSEALER.public_key, b'{"name": "Ada"}')):
        data = SendNotice(user_id=ADMIN, expires_at=datetime.now(UTC), sealed=sealed)
        with pytest.raises(Invalid) as refused:
            await accept(desk, command(data))
        assert (refused.value.code, "Ada" in str(refused.value)) == ("not_sealed", False)
    assert await desk.rows("SELECT 1 FROM deliveries UNION ALL SELECT 1 FROM notifications") == []


async def fill(desk: Desk, user_id: str) -> None:
    """Everything that is kept of a person."""
    await accept(desk, notice(user_id=user_id), link(user_id))
    requested = AccessRequested(request_id=new_id(), user_id=user_id, permission="x:read", reason="my own words")
    await desk.hear(told(requested))
    ((first,),) = [tuple(row.values()) for row in await desk.rows("SELECT min(position) FROM notifications")]
    seen = await desk.value("SELECT id::text FROM notifications WHERE position = $1", first)
    with_read = ReadNotification(notification_id=seen)
    if user_id == ADMIN:
        await desk.ask(with_read, admin_id=user_id)
    await desk.ask(ReadAllNotifications(), admin_id=user_id)
    async with desk.database.transaction() as session:
        body = f'{{"actorid": "{user_id}"}}'.encode()
        await dead_letters.append(session, [DeadLetter(queue="q", reason="r", body=body)])


async def kept_of(desk: Desk, user_id: str) -> dict[str, int]:
    """How many rows name a person or are theirs, by table; what was sent counts where something sealed is left."""
    found = {}
    for table, where in (
        ("deliveries", "user_id = $1 AND sealed <> ''"), ("read_marks", "admin_id = $1"), ("reads", "admin_id = $1"),
        ("notifications", "recipient_id = $1 OR metadata->>'user_id' = $1"),
        ("dead_letters", "position(convert_to($1, 'UTF8') IN body) > 0"),
    ):  # fmt: skip
        found[table] = await desk.value(f"SELECT count(*) FROM {table} WHERE {where}", user_id)
    return found


async def test_nothing_is_left_of_whoever_was_erased_and_everything_of_others(desk: Desk, server: MailServer) -> None:
    await desk.hear(platform_event())
    await fill(desk, ADMIN)
    await fill(desk, OTHER)
    others = await kept_of(desk, OTHER)
    before = len(await desk.left())
    event = erased()
    await desk.follow(event)
    assert set((await kept_of(desk, ADMIN)).values()) == {0}
    assert await kept_of(desk, OTHER) == others
    assert (
        await desk.value("SELECT count(*) FROM notifications WHERE recipient_id IS NULL AND type = 'import_failure'")
        == 1
    )
    *failed, said = (await desk.left())[before:]
    assert sorted((one.type, one.data["kind"], one.data["reason"]) for one in failed) == [
        ("reeve.delivery.failed.v1", "activation", "the account was erased"),
        ("reeve.delivery.failed.v1", "notice", "the account was erased"),
    ]
    assert (said.type, said.causationid, said.subject) == (
        "reeve.notifications.user_erased.v1",
        event.id,
        f"user/{ADMIN}",
    )
    assert said.data == {"user_id": ADMIN, "deliveries": 2, "notifications": 2, "reads": 2, "dead_letters": 1}
    await deliver(desk, server)
    assert len(server.taken) == 2, "the other one's notice and link"


async def test_what_tells_of_a_person_is_found_without_a_look_at_everything(desk: Desk) -> None:
    async with desk.database.transaction() as session:
        connection = driver(session)
        await connection.execute(
            "INSERT INTO notifications (position, id, type, priority, title, message, action_required, metadata, created_at)"
            " SELECT n, gen_random_uuid(), 'x', 'low', 't', '', false, '{}', now() FROM generate_series(1, 20000) AS n"
        )
        await connection.execute("ANALYZE notifications")
        await connection.execute("SET LOCAL plan_cache_mode = 'force_generic_plan'")
        await connection.execute(f"PREPARE forget (text) AS {people._FORGET}")
        plan = await connection.fetch(f"EXPLAIN EXECUTE forget ('{ADMIN}')")
    said = "\n".join(row[0] for row in plan)
    assert {"notifications_for_one", "notifications_about_a_user"} <= set(said.replace("\n", " ").split())
    assert "Seq Scan" not in said


async def test_an_erasure_that_comes_again_finds_nothing_more(desk: Desk) -> None:
    await fill(desk, ADMIN)
    await desk.follow(erased())
    await desk.follow(erased())
    assert (await desk.left())[-1].data == {
        "user_id": ADMIN, "deliveries": 0, "notifications": 0, "reads": 0, "dead_letters": 0,
    }  # fmt: skip


@pytest.mark.parametrize("late", [notice, link])
async def test_what_was_asked_for_before_an_erasure_and_comes_behind_it_is_refused(desk: Desk, late: Any) -> None:
    await desk.follow(erased())
    with pytest.raises(Conflict) as refused:
        await accept(desk, late())
    assert refused.value.code == "recipient_erased"
    await accept(desk, late(user_id=OTHER))
    assert await desk.value("SELECT count(*) FROM deliveries") == 1


async def test_an_erasure_is_believed_to_the_gateway_alone(desk: Desk) -> None:
    await fill(desk, ADMIN)
    before = await kept_of(desk, ADMIN)
    await desk.follow(told(UserErased(user_id=ADMIN, fields=[], changes={}), source="/platform/shop"))
    assert await kept_of(desk, ADMIN) == before


@pytest.mark.parametrize(
    ("event", "waiting"),
    [
        (UserStatusChanged(user_id=ADMIN, is_active=False, changes={}), ["activation"]),
        (UserDeleted(user_id=ADMIN, changes={}), ["activation"]),
        (UserStatusChanged(user_id=ADMIN, is_active=True, changes={}), ["activation", "notice"]),
        (UserStatusChanged(user_id=OTHER, is_active=False, changes={}), ["activation", "notice"]),
    ],
)
async def test_whoever_is_switched_off_is_sent_no_notice(desk: Desk, event: MessageData, waiting: list[str]) -> None:
    await accept(desk, notice(), link())
    await desk.follow(told(event))
    rows = await desk.rows("SELECT kind FROM deliveries WHERE state = 'waiting' ORDER BY kind")
    assert [row["kind"] for row in rows] == waiting
    assert await desk.value("SELECT count(*) FROM deliveries WHERE state = 'failed' AND sealed <> ''") == 0


async def test_a_delivery_that_is_under_way_when_its_owner_is_erased_is_not_noted_as_sent(
    desk: Desk, server: MailServer
) -> None:
    server.data_answers.append("hang")
    await accept(desk, notice())
    sending = asyncio.ensure_future(deliver(desk, server))
    while not server.taken:
        await asyncio.sleep(0.01)
    await desk.follow(erased())
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    rows = await desk.rows("SELECT state, sealed, last_error FROM deliveries")
    assert rows == [{"state": "failed", "sealed": "", "last_error": "the account was erased"}]
