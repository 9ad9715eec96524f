"""The quarantine: what does not fit its schema is kept with its reason, never dropped, and can be replayed, once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import orjson
import pytest

from libs.common.broker.transport import Message
from libs.common.database.dead_letters import DeadLetter
from libs.common.database.engine import driver
from libs.common.errors import ReeveError
from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import Catalog, MessageData, new_event
from libs.common.events.envelope import BATCH, STRUCTURED, Event, encode
from libs.common.events.quarantine import ReplayQuarantined
from libs.common.ids import new_id
from services.audit.app import SPEAKS_AS
from services.audit.commands.quarantine import QuarantineCommands
from services.audit.handlers import Recorder
from services.audit.store import quarantine as store
from tests.integration.audit.archive import ADMIN, Archive, Built, message_of, platform_event, request_recorded
from tests.support.eventually import eventually


class Upgraded(MessageData):
    """A type that a newer release has."""

    TYPE = "reeve.unheard.of.v1"
    SOURCE = "/reeve/gateway"
    ACTION = "hear_of"
    EXAMPLE: ClassVar[dict[str, Any]] = {}

    action: str
    outcome: str
    method: str
    path: str
    status: int


NEWER = Catalog((*CATALOG, Upgraded))


@pytest.fixture
async def consuming(built: Built, archive: Archive) -> AsyncIterator[Built]:
    """The service's consumer of events, running."""
    async with archive.database.transaction() as session:
        await driver(session).execute(
            "INSERT INTO senders (client_id, source, event_types) VALUES ('shop', '/platform/shop', '{platform.*}')"
        )
    task = asyncio.ensure_future(built.service.tasks[0]())
    yield built
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def misfit(**given: Any) -> Event:
    """A platform's event whose data is not what its type says."""
    made = {"kind": "platform.import.completed.v1", "data": {"errors_count": "many", "store_id": 12}, **given}
    return platform_event(**made)


def over_http(event: Event) -> Message:
    """As the gateway hands on what a platform sent it."""
    return message_of(event, app_id="gateway")


async def kept_of_shop(archive: Archive, event: Event) -> str:
    """What the consumer keeps of a misfit that the shop's own broker user sent; its id in quarantine."""
    letter = DeadLetter(
        queue="audit.events", reason=f"unknown_event_type: {event.type}", body=encode(event), sender="shop",
        type=event.type, content_type=STRUCTURED,
    )  # fmt: skip
    async with archive.database.transaction() as session:
        await store.append(session, [letter])
    return letter.id


async def parked(built: Built, archive: Archive, *messages: Message) -> list[dict[str, Any]]:
    """Send these, wait until they are in quarantine, and list it, oldest first."""
    before = await archive.value("SELECT count(*) FROM dead_letters")
    for message in messages:
        await built.transport.publish(message)
    await eventually(lambda: archive.value("SELECT count(*) >= $1 FROM dead_letters", before + len(messages)))
    return list(reversed((await archive.body("/quarantine"))["quarantine"]))


async def replay(archive: Archive, quarantine_id: str, *, catalog: Catalog = CATALOG) -> Event:
    """Apply the command as its consumer does; the outcome event."""
    command = new_event(
        ReplayQuarantined(quarantine_id=quarantine_id), subject=None, actor_id=ADMIN, actor_type="admin"
    )
    commands = QuarantineCommands(Recorder().record_events, catalog, speaks_as=SPEAKS_AS)
    async with archive.database.transaction() as session:
        [outcome] = await commands.handlers()[ReplayQuarantined.TYPE](session, [command])
    return outcome


async def test_what_does_not_fit_is_kept_with_its_reason_and_its_bytes(consuming: Built, archive: Archive) -> None:
    event, unknown = misfit(), request_recorded(type="reeve.unheard.of.v1", producerseq=1)
    ours = request_recorded(producerseq=2, data={"status": "none"})
    foreign = over_http(event)
    found = await parked(consuming, archive, foreign, message_of(unknown), message_of(ours))
    assert [(one["event_type"], one["reason"], one["source"], one["sender"]) for one in found] == [
        ("platform.import.completed.v1", "invalid_event", "/platform/shop", "gateway"),
        ("reeve.unheard.of.v1", "unknown_event_type", "/reeve/gateway", "gateway"),
        ("reeve.request.recorded.v1", "invalid_event", "/reeve/gateway", "gateway"),
    ]  # fmt: skip
    assert found[0]["message"].startswith("errors_count: ")
    assert (found[0]["state"], found[0]["sightings"], found[0]["replays"]) == ("waiting", 1, 0)
    whole = await archive.body(f"/quarantine/{found[0]['id']}")
    assert whole["event"]["data"] == event.data
    assert await archive.value("SELECT body FROM dead_letters WHERE id = $1", found[0]["id"]) == foreign.body
    assert await archive.value("SELECT count(*) FROM entries") == 0
    missing = await archive.get(f"/quarantine/{new_id()}")
    assert (missing.status_code, missing.json()["detail"]["error"]) == (404, "quarantined_not_found")


async def test_what_a_newer_release_adds_or_leaves_out_as_null_is_no_misfit(consuming: Built, archive: Archive) -> None:
    newer = request_recorded(producerseq=1, data={"weather": "fine"}, origin={"device": "x"})
    without = request_recorded(
        producerseq=2, type="reeve.sign_in.locked.v1",
        data={"tried_email": "a***@x", "scope": "place", "failures": 5, "seconds": 30},
    )  # fmt: skip
    for event in (newer, without):
        await consuming.transport.publish(message_of(event))
    await eventually(lambda: archive.value("SELECT count(*) = 2 FROM entries"))


async def test_other_dead_letters_are_not_in_quarantine(consuming: Built, archive: Archive) -> None:
    stranger = message_of(platform_event(source="/platform/nobody"), app_id="")
    assert await parked(consuming, archive, stranger) == []


async def test_a_repetition_is_counted_and_not_kept_twice(consuming: Built, archive: Archive) -> None:
    message = over_http(misfit())
    await parked(consuming, archive, message)
    await consuming.transport.publish(message)
    await eventually(lambda: archive.value("SELECT sightings = 2 AND last_seen_at > received_at FROM dead_letters"))
    assert await archive.value("SELECT count(*) FROM dead_letters") == 1


async def test_it_is_filtered_and_walked_by_cursor(consuming: Built, archive: Archive) -> None:
    events = [misfit(kind=f"platform.unknown_{n % 2}.v1") for n in range(5)]
    found = await parked(consuming, archive, *map(over_http, events), over_http(misfit()))
    for query, count in (
        ("type=platform.unknown_0.v1", 3), ("reason=invalid_event", 1), ("reason=unknown_event_type", 5),
        ("source=/platform/shop", 6), ("source=/platform/other", 0), ("state=replayed", 0), ("state=waiting", 6),
    ):  # fmt: skip
        body = await archive.body(f"/quarantine?{query}")
        assert (len(body["quarantine"]), body["total"]) == (count, count), query
    walked: list[str] = []
    cursor = ""
    while cursor is not None:
        page = await archive.body(f"/quarantine?limit=4&state=waiting{cursor and '&cursor='}{cursor}")
        walked += [one["id"] for one in page["quarantine"]]
        cursor = page["next_cursor"]
    assert walked == [one["id"] for one in found][::-1]
    assert (await archive.get("/quarantine?state=lost")).status_code == 422
    assert (await archive.get("/quarantine", permission="dead_letters:write")).status_code == 401


async def test_a_replay_makes_one_entry_with_the_time_and_number_of_its_day(consuming: Built, archive: Archive) -> None:
    first, unknown, last = (
        request_recorded(producerseq=1), request_recorded(type="reeve.unheard.of.v1", producerseq=2),
        request_recorded(producerseq=3),
    )  # fmt: skip
    body = b"[" + b",".join(map(encode, (first, unknown, last))) + b"]"
    packed = message_of(first)._replace(body=body, content_type=BATCH)
    [kept] = await parked(consuming, archive, packed)
    refused = await replay(archive, kept["id"])
    assert (refused.type, refused.data["status"]) == ("reeve.operation.rejected.v1", 409)
    assert refused.data["error"]["error"] == "does_not_fit"
    assert "unknown_event_type: reeve.unheard.of.v1" in refused.data["error"]["message"]
    told = await archive.body(f"/quarantine/{kept['id']}")
    assert (told["state"], told["replays"], told["last_error"]) == (
        "waiting", 1, "unknown_event_type: reeve.unheard.of.v1",
    )  # fmt: skip

    outcome = await replay(archive, kept["id"], catalog=NEWER)

    assert (outcome.type, outcome.data["status"]) == ("reeve.quarantine.replayed.v1", 200)
    [entry] = await archive.rows("SELECT * FROM entries WHERE event_id = $1", unknown.id)
    assert (entry["producer"], entry["producer_seq"], entry["created_at"]) == ("gateway", 2, unknown.time)
    assert outcome.data["sequence"] == entry["sequence"] == 2
    leaf = orjson.loads(await archive.value("SELECT body FROM log_leaves WHERE sequence = 2"))
    assert (leaf["producer"], leaf["producer_seq"]) == ("gateway", 2)
    shown = outcome.data["result"]
    assert (shown["state"], shown["replays"], shown["last_error"], shown["entry_sequence"]) == ("replayed", 2, None, 2)
    again = await replay(archive, kept["id"], catalog=NEWER)
    assert again.data["result"] == shown
    assert await archive.value("SELECT count(*) FROM entries WHERE event_id = $1", unknown.id) == 1


async def test_a_replay_in_parallel_makes_one_entry(consuming: Built, archive: Archive) -> None:
    kept = await parked(consuming, archive, message_of(request_recorded(type="reeve.unheard.of.v1", producerseq=1)))
    done = await asyncio.gather(*[replay(archive, kept[0]["id"], catalog=NEWER) for _ in range(6)])
    assert {one.data["sequence"] for one in done} == {0}
    assert await archive.value("SELECT count(*) FROM entries") == 1


async def test_a_replay_that_does_not_commit_leaves_no_entry(consuming: Built, archive: Archive) -> None:
    [kept] = await parked(consuming, archive, message_of(request_recorded(type="reeve.unheard.of.v1", producerseq=1)))
    commands = QuarantineCommands(Recorder().record_events, NEWER, speaks_as=SPEAKS_AS)
    command = new_event(ReplayQuarantined(quarantine_id=kept["id"]), subject=None, actor_id=ADMIN, actor_type="admin")

    async def replay_and_die() -> None:
        async with archive.database.transaction() as session:
            await commands.replay(session, command)
            raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError):
        await replay_and_die()
    assert await archive.value("SELECT count(*) FROM entries") == 0
    assert (await archive.body(f"/quarantine/{kept['id']}"))["state"] == "waiting"


async def test_whoever_may_not_send_any_more_is_not_let_in_by_a_replay(consuming: Built, archive: Archive) -> None:
    kept = await kept_of_shop(archive, misfit(kind="platform.later.v1"))
    told = await archive.body(f"/quarantine/{kept}")
    assert (told["sender"], told["source"], told["event_type"]) == ("shop", "/platform/shop", "platform.later.v1")
    async with archive.database.transaction() as session:
        await driver(session).execute("DELETE FROM senders")
    refused = await replay(archive, kept, catalog=NEWER)
    assert "sender_not_registered" in refused.data["error"]["message"]


@pytest.mark.parametrize("quarantine_id", ["nothing", "0199a0c0-0000-7000-8000-000000000001"])
async def test_what_is_not_there_cannot_be_replayed(archive: Archive, quarantine_id: str) -> None:
    with pytest.raises(ReeveError) as refused:
        await replay(archive, quarantine_id)
    assert (refused.value.status, refused.value.code) == (404, "quarantined_not_found")


async def test_what_waits_does_not_grow_old_and_other_letters_do(consuming: Built, archive: Archive) -> None:
    stranger = message_of(platform_event(source="/platform/nobody"), app_id="")
    kept = await parked(
        consuming, archive, stranger, over_http(misfit()),
        message_of(request_recorded(type="reeve.unheard.of.v1", producerseq=1)),
    )  # fmt: skip
    await replay(archive, kept[-1]["id"], catalog=NEWER)
    async with archive.database.transaction() as session:
        await driver(session).execute("UPDATE dead_letters SET received_at = now() - interval '100 days'")
        assert await store.prune(session, most_rows=0, older_than_days=90) == 2
    [left] = (await archive.body("/quarantine"))["quarantine"]
    assert left["id"] == kept[0]["id"]


async def test_an_event_that_says_of_itself_whose_it_is_keeps_that(consuming: Built, archive: Archive) -> None:
    """What a platform sends stays a platform's after a replay, whatever it claims."""
    event = misfit(kind="platform.later.v1", actorid="root", data={"origin": {"username": "root"}})

    class Later(Upgraded):
        TYPE = "platform.later.v1"
        model_config = {"extra": "allow"}  # noqa: RUF012 - pydantic's way
        action: str = ""
        outcome: str = ""
        method: str = ""
        path: str = ""
        status: int = 0

    kept = await kept_of_shop(archive, event)
    await replay(archive, kept, catalog=Catalog((*CATALOG, Later)))
    [entry] = (await archive.body("/logs"))["logs"]
    assert (entry["admin_username"], entry["admin_user_id"], entry["actor_type"]) == (None, None, "client")
