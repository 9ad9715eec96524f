"""Leaves as they are stored with their entries: canonical, complete, committing to what is private, and for every entry."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import asyncpg
import pytest

from libs.common.delivery.arrivals import Arrived
from services.audit.handlers import give_leaves
from services.audit.models.entries import Entry
from services.audit.models.leaves import seeds_for
from services.audit.sequencer import Sequencer
from services.audit.store import entries as store
from tests.integration.audit.archive import Archive, Built, arrived, message_of, platform_event, request_recorded

MEMBERS = {
    "v", "index", "entry_id", "event_id", "type", "producer", "producer_seq", "source", "occurred_at", "received_at",
    "action", "actor", "target", "outcome", "severity", "request_id", "operation_id", "trace_id", "commits", "public",
}  # fmt: skip
PRIVATE = (
    "admin_username, host(ip_address) AS ip_address, user_agent, details::text AS details, changes::text AS changes"
)
AWKWARD = 'ünïcödé \u2028 "quoted" \\ \x07 \x7f \U0001f600'


def canonical(value: Any) -> bytes:
    """RFC 8785 for ASCII keys and whole numbers, by the standard library."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


async def leaves(archive: Archive) -> list[dict[str, Any]]:
    rows = await archive.rows("SELECT body FROM log_leaves ORDER BY sequence")
    return [json.loads(row["body"]) for row in rows]


async def test_each_entry_has_a_canonical_leaf_at_its_sequence_and_its_hash(archive: Archive) -> None:
    await archive.record(
        request_recorded(subject=f"setting/{AWKWARD}", producerseq=7, origin={"user_agent": AWKWARD}), platform_event()
    )
    await archive.record(request_recorded(data={"changes": {"theme": {"old": 1, "new": AWKWARD}}}))
    rows = await archive.rows(
        "SELECT l.sequence, body, leaf_hash, id::text AS id, created_at, recorded_at, target_id, action"
        " FROM log_leaves AS l JOIN entries USING (sequence) ORDER BY 1"
    )
    assert [row["sequence"] for row in rows] == [0, 1, 2]
    for row in rows:
        leaf = json.loads(row["body"])
        assert canonical(leaf) == row["body"]
        assert leaf.keys() == MEMBERS
        assert row["leaf_hash"] == sha256(b"\x00" + row["body"]).digest()
        assert (leaf["index"], leaf["entry_id"]) == (row["sequence"], row["id"])
        assert leaf["occurred_at"] == row["created_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        assert len(leaf["received_at"]) == len("2026-01-31T12:00:00.000000Z")
        assert leaf["target"]["id"] == row["target_id"]
        assert leaf["action"] == row["action"]
    assert rows[0]["target_id"] == AWKWARD


async def test_a_commitment_opens_with_its_salt_and_the_stored_text_and_nothing_else_is_said(archive: Archive) -> None:
    """By the formulas of the format, written out here again."""
    await archive.record(
        request_recorded(origin={"user_agent": "Mozilla/5.0"}, data={"changes": {"theme": {"old": "a", "new": "b"}}})
    )
    [row] = await archive.rows(
        f"SELECT body, seed, {PRIVATE} FROM log_leaves JOIN log_openings USING (sequence) JOIN entries USING (sequence)"
    )
    leaf = json.loads(row["body"])
    assert leaf["commits"].keys() == {"/admin_username", "/ip_address", "/user_agent", "/details", "/changes"}
    for path, commit in leaf["commits"].items():
        salt = hmac.digest(row["seed"], b"adminlog/salt/v1\0" + path.encode(), "sha256")
        text = b"adminlog/commit/v1\0" + path.encode() + b"\0" + row[path[1:]].encode()
        assert base64.b64decode(commit) == hmac.digest(salt, text, "sha256")
        assert row[path[1:]].encode() not in row["body"]
    assert b"ada@example.com" not in row["body"]


async def test_what_an_entry_lacks_has_no_commitment(archive: Archive) -> None:
    await archive.record(platform_event())
    [leaf] = await leaves(archive)
    assert leaf["commits"].keys() == {"/details"}


async def test_equal_entries_commit_differently_so_that_nothing_can_be_compared(archive: Archive) -> None:
    event = request_recorded()
    await archive.record(event, event)
    first, second = await leaves(archive)
    assert not set(first["commits"].values()) & set(second["commits"].values())


async def test_only_our_own_producers_are_numbered(archive: Archive) -> None:
    theirs = platform_event(producerseq=99)
    batch = [
        arrived(request_recorded(producerseq=41)),
        Arrived(theirs, "shop", "shop", None, message_of(theirs, app_id="gateway", sender="shop")),
    ]
    async with archive.database.transaction() as session:
        await archive.recorder.record_events(session, batch)
    assert [(leaf["producer"], leaf["producer_seq"]) for leaf in await leaves(archive)] == [
        ("gateway", 41),
        ("shop", None),
    ]


async def test_an_entry_that_is_not_stored_leaves_no_leaf(archive: Archive) -> None:
    async def come_to_nothing() -> None:
        async with archive.database.transaction() as session:
            await archive.recorder.record_events(session, [arrived(request_recorded())])
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError):
        await come_to_nothing()
    assert await archive.value("SELECT count(*) FROM log_leaves") == 0


async def _forget_leaves(owner: asyncpg.Connection, *, after: int = -1) -> None:
    """As an older release would have left it: entries without leaves."""
    async with owner.transaction():
        await owner.execute("ALTER TABLE log_leaves DISABLE TRIGGER append_only")
        await owner.execute("DELETE FROM log_leaves WHERE sequence > $1", after)
        await owner.execute("DELETE FROM log_openings WHERE sequence > $1", after)
        await owner.execute("ALTER TABLE log_leaves ENABLE TRIGGER append_only")


async def test_entries_of_an_older_release_get_their_leaves_before_new_ones(
    archive: Archive, owner: asyncpg.Connection
) -> None:
    await archive.record(*[request_recorded(subject=f"thing/{n}", producerseq=n + 1) for n in range(25)])
    before = await leaves(archive)
    await _forget_leaves(owner)
    await asyncio.gather(*[give_leaves(archive.database) for _ in range(3)])
    after = await leaves(archive)
    assert [{**leaf, "commits": None, "received_at": None} for leaf in after] == [
        {**leaf, "commits": None, "received_at": None} for leaf in before
    ]
    assert await archive.value("SELECT count(*) FROM log_openings WHERE seed IS NOT NULL") == 25


async def test_entries_that_an_older_release_adds_beside_us_are_caught_up(
    archive: Archive, owner: asyncpg.Connection
) -> None:
    await archive.record(request_recorded())
    await archive.record(*[request_recorded() for _ in range(10)])
    await _forget_leaves(owner, after=0)
    await archive.record(request_recorded())
    assert [leaf["index"] for leaf in await leaves(archive)] == list(range(12))


async def test_the_sequencer_makes_the_leaves_of_what_an_older_release_added_last(
    archive: Archive, owner: asyncpg.Connection
) -> None:
    await archive.record(*[request_recorded() for _ in range(10)])
    await _forget_leaves(owner, after=3)
    sequencer = Sequencer(archive.database)
    assert [await sequencer.turn(10) for _ in range(2)] == [4, 6]
    assert await archive.value("SELECT count(*) FROM outbox") == 0


async def test_an_entry_that_is_gone_with_its_leaf_and_seed_is_a_hole_and_ends_nothing(
    archive: Archive, owner: asyncpg.Connection
) -> None:
    await archive.record(*[request_recorded() for _ in range(10)])
    await _forget_leaves(owner, after=8)
    await owner.execute("ALTER TABLE entries DISABLE TRIGGER USER")
    for row in await owner.fetch("SELECT relid::regclass::text FROM pg_partition_tree('entries')"):
        await owner.execute(f"ALTER TABLE {row[0]} DISABLE TRIGGER USER")
    await owner.execute("DELETE FROM entries WHERE sequence = 9")
    sequencer = Sequencer(archive.database)
    assert [await sequencer.turn(10) for _ in range(2)] == [9, 0]
    assert await archive.value("SELECT count(*) FROM outbox WHERE subject = 'audit_log/9'") == 1
    await archive.record(request_recorded())
    assert await sequencer.turn(11) == 0


def test_seeds_are_random_and_of_their_size() -> None:
    drawn = list(seeds_for(1000))
    assert {len(seed) for seed in drawn} == {32}
    assert len(set(drawn)) == 1000


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_leaves SET body = ''",
        "DELETE FROM log_leaves",
        "TRUNCATE log_leaves",
        "UPDATE log_nodes SET hash = sha256('')",
        "DELETE FROM log_nodes",
        "TRUNCATE log_nodes",
        "UPDATE log_checkpoints SET note = ''",
        "DELETE FROM log_checkpoints",
        "UPDATE log_head SET size = size - 1",
        "UPDATE log_head SET root = sha256('other')",
    ],
)
async def test_what_the_log_says_is_refused_to_be_changed_by_the_service_and_by_the_owner(
    built: Built, archive: Archive, owner: asyncpg.Connection, statement: str
) -> None:
    await archive.record(*[request_recorded() for _ in range(256)])
    await archive.sequence()
    await owner.execute("INSERT INTO log_checkpoints (size, root, note) VALUES (256, sha256(''), 'a note')")
    for refused in (archive.value, owner.execute):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await refused(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM log_openings",
        "UPDATE log_openings SET seed = NULL",
        "DELETE FROM log_head",
        "DELETE FROM log_heartbeat",
    ],
)
async def test_the_service_s_role_has_no_other_right_to_the_log(archive: Archive, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await archive.value(statement)


async def test_too_few_entries_are_noticed(archive: Archive) -> None:
    async def none() -> AsyncIterator[tuple[Entry, bool]]:
        for one in tuple[tuple[Entry, bool], ...]():
            yield one

    with pytest.raises(ValueError, match="fewer entries"):
        async with archive.database.transaction() as session:
            await store.append(session, none(), count=1)
