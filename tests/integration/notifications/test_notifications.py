"""Notifications on a real Postgres: created, read per administrator, marked, put back, deleted."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from libs.common.errors import Invalid, NotFound
from libs.common.events.notifications import (
    CreateNotification,
    DeleteNotification,
    ReadAllNotifications,
    ReadNotification,
    UnreadNotification,
)
from services.notifications.models import NotificationDraft
from services.notifications.store import notifications, reads
from tests.integration.notifications.desk import ADMIN, MISSING, OTHER, Desk


async def create(desk: Desk, title: str = "Maintenance tonight") -> str:
    found = await desk.ask(CreateNotification(type="announcement", title=title, priority="high", action_url="/status"))
    return str(found["notification_id"])


async def unread(desk: Desk, admin_id: str = ADMIN) -> list[str]:
    """The titles that are unread, newest first; the count says the same."""
    async with desk.database.reading() as session:
        mark = await reads.mark_of(session, admin_id)
        wanted = notifications.Filters(is_read=False)
        found = await notifications.search(session, admin_id=admin_id, mark=mark, filters=wanted, limit=50)
        assert await notifications.unread_count(session, admin_id=admin_id, mark=mark) == len(found)
        seen = notifications.Filters(is_read=True)
        others = await notifications.search(session, admin_id=admin_id, mark=mark, filters=seen, limit=50)
        everything = await notifications.search(
            session, admin_id=admin_id, mark=mark, filters=notifications.Filters(), limit=50
        )
    assert [one.position for one in everything] == sorted((one.position for one in [*found, *others]), reverse=True)
    assert all(one.is_read for one in others)
    assert not any(one.is_read for one in found)
    return [one.title for one in found]


async def test_a_new_notification_is_told_with_its_public_body(desk: Desk) -> None:
    outcome = await desk.ask(
        CreateNotification(
            type="announcement", title="Maintenance", message="At 22:00", notification_metadata={"a": None, "b": [1]}
        )
    )
    body = outcome["result"]
    assert outcome["status"] == 201
    assert body == {
        "id": outcome["notification_id"], "type": "announcement", "priority": "normal", "title": "Maintenance",
        "message": "At 22:00", "is_read": False, "read_at": None, "read_by_user_id": None, "action_required": False,
        "action_url": None, "notification_metadata": {"a": None, "b": [1]}, "recipient_user_id": None,
        "created_at": body["created_at"],
    }  # fmt: skip
    (event,) = await desk.left()
    assert (event.type, event.subject) == ("reeve.notification.created.v1", f"notification/{body['id']}")
    assert event.data["result"] == body
    assert (event.actorid, event.correlationid, event.data["origin"]["username"]) == (ADMIN, "request-1", "ada")


async def test_reading_is_each_administrators_own(desk: Desk) -> None:
    first, _ = await create(desk, "first"), await create(desk, "second")
    outcome = await desk.ask(ReadNotification(notification_id=first))
    assert (outcome["result"]["is_read"], outcome["result"]["read_by_user_id"]) == (True, ADMIN)
    assert outcome["changes"] == {"is_read": {"old": False, "new": True}}
    assert await unread(desk) == ["second"]
    assert await unread(desk, OTHER) == ["second", "first"]


async def test_reading_again_changes_nothing(desk: Desk) -> None:
    created = await create(desk)
    once = await desk.ask(ReadNotification(notification_id=created))
    again = await desk.ask(ReadNotification(notification_id=created))
    assert again["result"] == once["result"]
    assert again["changes"] == {}


async def test_what_was_read_can_be_put_back(desk: Desk) -> None:
    created = await create(desk, "one")
    await desk.ask(ReadNotification(notification_id=created))
    outcome = await desk.ask(UnreadNotification(notification_id=created))
    assert (outcome["result"]["is_read"], outcome["result"]["read_at"]) == (False, None)
    assert await unread(desk) == ["one"]


async def test_mark_all_read_covers_what_is_there_and_not_what_comes(desk: Desk) -> None:
    await create(desk, "before")
    await desk.ask(ReadAllNotifications())
    assert await unread(desk) == []
    await create(desk, "after")
    assert await unread(desk) == ["after"]
    assert await unread(desk, OTHER) == ["after", "before"]


async def test_mark_all_read_writes_one_row_however_many_there_are(desk: Desk) -> None:
    for number in range(20):
        await create(desk, str(number))
    await desk.ask(ReadAllNotifications())
    assert await desk.value("SELECT count(*) FROM reads") == 0
    assert await desk.value("SELECT count(*) FROM read_marks") == 1


async def test_what_is_put_back_below_the_mark_stays_unread_until_the_next_mark(desk: Desk) -> None:
    first, _ = await create(desk, "first"), await create(desk, "second")
    await desk.ask(ReadAllNotifications())
    await desk.ask(UnreadNotification(notification_id=first))
    assert await unread(desk) == ["first"]
    await desk.ask(ReadAllNotifications())
    assert await unread(desk) == []
    await desk.ask(UnreadNotification(notification_id=first))
    await desk.ask(ReadNotification(notification_id=first))
    assert await unread(desk) == []


async def test_an_older_transaction_that_commits_later_is_not_born_read(desk: Desk) -> None:
    begun, released = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with desk.database.transaction() as session:
            await notifications.append(session, [NotificationDraft("x", "low", "slow")], now=datetime.now(UTC))
            begun.set()
            await released.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(slow())
        await begun.wait()
        quick = tasks.create_task(create(desk, "quick"))
        await desk.ask(ReadAllNotifications())
        released.set()
        await quick
    assert await unread(desk) == ["quick", "slow"]


async def test_deleting_is_for_everybody_and_is_told(desk: Desk) -> None:
    created = await create(desk, "gone")
    await desk.ask(ReadNotification(notification_id=created), admin_id=OTHER)
    outcome = await desk.ask(DeleteNotification(notification_id=created))
    assert (outcome["status"], outcome["title"]) == (204, "gone")
    assert await unread(desk, OTHER) == []
    assert await desk.value("SELECT count(*) FROM reads") == 0
    assert (await desk.left())[-1].type == "reeve.notification.deleted.v1"
    with pytest.raises(NotFound):
        await desk.ask(DeleteNotification(notification_id=created))


@pytest.mark.parametrize("missing", [MISSING, "no-id", ""])
async def test_what_is_not_there_is_not_found(desk: Desk, missing: str) -> None:
    for asked in (ReadNotification, UnreadNotification, DeleteNotification):
        with pytest.raises(NotFound) as refused:
            await desk.ask(asked(notification_id=missing))
        assert refused.value.code == "notification_not_found"
    assert await desk.left() == []


async def test_a_command_that_names_nobody_is_refused(desk: Desk) -> None:
    with pytest.raises(Invalid):
        await desk.ask(ReadAllNotifications(), admin_id=None)


async def test_the_unread_count_stops_counting_at_its_bound(desk: Desk) -> None:
    drafts = [NotificationDraft("x", "low", "many")] * 10_050
    async with desk.database.transaction() as session:
        await notifications.append(session, drafts, now=datetime.now(UTC))
    async with desk.database.reading() as session:
        mark = await reads.mark_of(session, ADMIN)
        assert await notifications.unread_count(session, admin_id=ADMIN, mark=mark) == 10_001


async def test_the_service_may_not_change_what_a_notification_says(desk: Desk) -> None:
    await create(desk)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await desk.value("UPDATE notifications SET title = 'x' RETURNING 1")
