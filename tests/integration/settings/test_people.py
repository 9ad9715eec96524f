"""What the settings service keeps of a person: an id, and the reasons that they gave until they are erased."""

import asyncpg
import pytest

from libs.common.broker.transport import Message
from libs.common.database import dead_letters
from libs.common.database.dead_letters import DeadLetter
from libs.common.database.engine import driver
from libs.common.delivery.arrivals import Arrived
from libs.common.events.catalog import new_event
from libs.common.events.envelope import STRUCTURED, Event, encode
from libs.common.events.users import UserErased
from services.settings.handlers import follow_accounts
from tests.integration.settings.conftest import ADMIN, SettingsUnderTest

OTHER = "0199a0c0-0000-7000-8000-0000000000bb"


def erased(user_id: str, *, source: str = "/reeve/gateway") -> Event:
    data = UserErased(user_id=user_id, fields=["email"], changes={})
    return new_event(data, subject=f"user/{user_id}", correlation_id="request-9", source=source)


async def hear(settings: SettingsUnderTest, event: Event) -> None:
    message = Message(encode(event), STRUCTURED, "reeve.events", event.type, event.id, event.type, app_id="gateway")
    async with settings.database.transaction() as session:
        await follow_accounts(session, [Arrived(event, "gateway", None, None, message)])


async def write(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    await settings.change("theme", "light", reason="my own words")
    await settings.admin.execute(
        "INSERT INTO setting_history (key, version, step, is_encrypted, changed_by, changed_at, reason)"
        " VALUES ('other', 1, 'changed', false, $1, now(), 'words of another')", OTHER,
    )  # fmt: skip
    async with settings.database.transaction() as session:
        body = f'{{"actorid": "{ADMIN}"}}'.encode()
        await dead_letters.append(session, [DeadLetter(queue="q", reason="r", body=body)])


async def test_the_words_of_whoever_was_erased_go_and_what_they_did_stays(settings: SettingsUnderTest) -> None:
    await write(settings)
    event = erased(ADMIN)
    await hear(settings, event)
    rows = await settings.rows("SELECT key, version, changed_by, reason FROM setting_history ORDER BY key, version")
    assert [tuple(row) for row in rows] == [
        ("other", 1, OTHER, "words of another"), ("theme", 1, ADMIN, None), ("theme", 2, ADMIN, None),
    ]  # fmt: skip
    assert await settings.rows("SELECT 1 FROM dead_letters") == []
    said = (await settings.announced())[-1]
    assert (said["type"], said["subject"], said["causationid"]) == (
        "reeve.settings.user_erased.v1", f"user/{ADMIN}", event.id,
    )  # fmt: skip
    assert said["data"] == {"user_id": ADMIN, "reasons": 1, "dead_letters": 1}
    await hear(settings, erased(ADMIN))
    assert (await settings.announced())[-1]["data"] == {"user_id": ADMIN, "reasons": 0, "dead_letters": 0}


async def test_an_erasure_is_believed_to_the_gateway_alone(settings: SettingsUnderTest) -> None:
    await write(settings)
    await hear(settings, erased(ADMIN, source="/platform/shop"))
    assert len(await settings.rows("SELECT 1 FROM setting_history WHERE reason IS NOT NULL")) == 2


async def test_the_service_can_take_reasons_away_and_change_nothing_else_of_the_past(
    settings: SettingsUnderTest,
) -> None:
    await write(settings)
    for statement in (
        "UPDATE setting_history SET reason = NULL", "UPDATE setting_history SET changed_by = 'x'",
        "DELETE FROM setting_history",
    ):  # fmt: skip
        async with settings.database.reading() as session:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await driver(session).execute(statement)
