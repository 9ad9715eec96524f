"""Old entries go, archived and announced; what is held or young stays; proofs of what remains keep holding."""

import asyncio
import base64
import gzip
import json
from pathlib import Path

import asyncpg
import pytest

from libs.common.events.envelope import decode
from libs.common.events.retention import HoldFilter, LiftHold, PlaceHold, SetRetention
from services.audit.archives.place import ArchiveRefused
from services.audit.log.checkpoints import open_checkpoint
from services.audit.log.proofs import is_included
from services.audit.log.tree import leaf_hash
from services.audit.store import retention as store
from tests.integration.audit.archive import ADMIN, Archive, Built, platform_event, request_recorded
from tests.integration.audit.keeping import Keeper
from tests.integration.audit.test_export_formats import hostile
from tests.integration.audit.test_verifier import checkpoint_of, dumped, key_of, mirrored
from tests.support.audit_verdicts import first_of_each, verdict_on
from tests.support.eventually import eventually

OLD = 600


@pytest.fixture
async def keeper(built: Built, archive: Archive, owner: asyncpg.Connection) -> Keeper:
    """A log of 600 old entries under a signed head, and 100 of today."""
    found = Keeper(built, archive, owner)
    await archive.record(*[request_recorded(producerseq=number + 1) for number in range(OLD - 20)], *hostile()[:5])
    await found.seal()
    size = await found.as_service("SELECT size FROM log_state")
    await archive.record(*[platform_event() for _ in range(OLD - size)])
    await found.seal()
    await found.age(days=500)
    await archive.record(*[request_recorded(producerseq=OLD - 20 + number + 1) for number in range(100)])
    await found.seal()
    return found


async def proves(keeper: Keeper) -> None:
    """The proof of every entry that is there leads to the newest checkpoint."""
    for row in await keeper.owner.fetch("SELECT id FROM entries"):
        answer = await keeper.archive.get(f"/logs/{row['id']}/proof", permission="audit:verify")
        assert answer.status_code == 200, answer.text
        said = answer.json()
        signed = open_checkpoint(said["checkpoint"], keeper.built.service.app.state.log_key)
        proof = [base64.b64decode(one) for one in said["hashes"]]
        leaf = leaf_hash(base64.b64decode(said["entry"]))
        assert is_included(leaf=leaf, index=said["sequence"], size=signed.size, proof=proof, root=signed.root)


async def test_old_entries_go_with_their_month_and_all_that_is_left_holds(keeper: Keeper, tmp_path: Path) -> None:
    kept = await checkpoint_of(keeper.archive)
    done = await keeper.turns()
    assert (done.archived, done.pruned) == (OLD, OLD)
    assert (await keeper.left())[0] == OLD
    assert (await keeper.seeds())[0] == OLD
    assert await keeper.owner.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'entries'::regclass") == 5
    await proves(keeper)
    key = await key_of(keeper.archive)
    verdict = verdict_on(await dumped(keeper.built, tmp_path), key, older=[kept])
    assert (first_of_each(verdict), verdict.pruned) == ({}, OLD)
    (tmp_path / "tiles").mkdir()
    await mirrored(keeper.archive, tmp_path / "tiles")
    assert first_of_each(verdict_on(tmp_path / "tiles", key, older=[kept])) == {}
    checked = (await keeper.archive.get("/log/verification", permission="audit:verify")).json()
    assert (checked["holds"], checked["first_bad"]) == (True, None)


async def test_the_archive_has_every_entry_with_what_it_said(keeper: Keeper) -> None:
    before = {
        row["sequence"]: row["details"]
        for row in await keeper.owner.fetch("SELECT sequence, details::text FROM entries")
    }
    await keeper.turns(keeper.with_bounds(most_archived=250))
    files = sorted(keeper.built.config.archives.glob("*.jsonl.gz"))
    found: dict[int, str] = {}
    for path in files:
        verdict = verdict_on(path, await key_of(keeper.archive))
        assert set(first_of_each(verdict)) <= {15}, verdict.findings
        for line in gzip.decompress(path.read_bytes()).splitlines()[1:]:
            said = json.loads(line)
            found[said["index"]] = said["openings"]["/details"]["value"]
    assert len(files) > 1
    assert found == {place: details for place, details in before.items() if place < OLD}
    assert len(list(keeper.built.config.archives.glob("*.manifest.jws"))) == len(files)


async def test_a_prune_that_nobody_announced_is_named(keeper: Keeper, tmp_path: Path) -> None:
    await keeper.turns()
    await keeper.owner.execute("ALTER TABLE entries DISABLE TRIGGER ALL")
    await keeper.owner.execute("DELETE FROM entries WHERE sequence = 650")
    verdict = verdict_on(await dumped(keeper.built, tmp_path), await key_of(keeper.archive))
    assert first_of_each(verdict) == {13: 650}
    checked = (await keeper.archive.get("/log/verification", permission="audit:verify")).json()
    assert checked["first_bad"] == {"sequence": 650, "problem": "entry_missing"}


async def test_what_is_held_stays_until_the_hold_is_lifted(keeper: Keeper) -> None:
    held = (
        await keeper.ask(
            PlaceHold(name="Case 1", reason="A court", filter=HoldFilter(event_type="com.shop.order.placed.v1"))
        )
    )["result"]
    kinds = await keeper.owner.fetch(
        "SELECT sequence FROM entries WHERE event_type = 'com.shop.order.placed.v1' AND sequence < 600 ORDER BY 1"
    )
    places = [row["sequence"] for row in kinds]
    assert places
    await keeper.turns()
    assert [place for place in await keeper.left() if place < OLD] == places
    assert [place for place in await keeper.seeds() if place < OLD] == places
    await keeper.ask(LiftHold(hold_id=held["id"], reason="Case closed"))
    await keeper.turns()
    assert (await keeper.left())[0] == OLD


async def test_a_hold_placed_after_the_announcement_still_holds(keeper: Keeper) -> None:
    sql = "SELECT count(*) FROM entries WHERE sequence < 600"
    held = await keeper.owner.fetchval(f"{sql} AND admin_user_id = $1", ADMIN)
    assert (await keeper.retention.turn()).announced == 1
    await keeper.deliver()
    await keeper.ask(PlaceHold(name="Case 2", reason="In time", filter=HoldFilter(actor_id=ADMIN)))
    await keeper.turns()
    assert 0 < held < OLD
    assert await keeper.owner.fetchval(f"{sql} AND admin_user_id = $1", ADMIN) == held
    assert await keeper.owner.fetchval(sql) == held


async def test_types_with_days_of_their_own_go_earlier_and_alone(keeper: Keeper, tmp_path: Path) -> None:
    await keeper.archive.record(*[platform_event() if number % 2 else request_recorded() for number in range(100)])
    await keeper.seal()
    size = OLD + 200
    await keeper.age(days=40, first=OLD + 100, last=size - 1)
    # What lies between keeps its age: the archive ends where anything is younger than all days.
    await keeper.age(days=40, first=OLD, last=OLD + 99)
    await keeper.ask(SetRetention(types={"com.shop.order.placed.v1": 30}))
    await keeper.turns()
    rows = await keeper.owner.fetch("SELECT event_type FROM entries WHERE sequence BETWEEN $1 AND $2", OLD, size - 1)
    assert {row["event_type"] for row in rows} == {"reeve.request.recorded.v1"}
    assert len(rows) == 150
    verdict = verdict_on(await dumped(keeper.built, tmp_path), await key_of(keeper.archive))
    assert first_of_each(verdict) == {}
    await proves(keeper)


async def test_nothing_goes_before_a_signed_head_covers_its_announcement(keeper: Keeper) -> None:
    assert (await keeper.retention.turn()).waiting == 1
    [row] = await keeper.owner.fetch("DELETE FROM outbox RETURNING body")
    await keeper.archive.record(decode(row["body"]), producer="audit")
    await keeper.archive.sequence()
    turn = await keeper.retention.turn()
    assert (turn.pruned, turn.waiting) == (0, 1)
    place = await keeper.owner.fetchval("SELECT sequence FROM log_prunes")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="that a checkpoint covers"):
        await keeper.as_service("SELECT prune_entries($1, 10)", place)
    await keeper.signer.turn()
    assert (await keeper.turns()).pruned == OLD


async def test_a_day_passes_and_a_run_comes_by_itself(keeper: Keeper) -> None:
    """The schedule asks once a day; what went is told by an event."""
    running = asyncio.create_task(keeper.with_bounds().run())
    sql = "SELECT state, archived, asked_by FROM retention_runs ORDER BY created_at DESC LIMIT 1"

    async def announced() -> object:
        return await keeper.owner.fetchval("SELECT count(*) FROM log_prunes")

    async def ended() -> object:
        await keeper.deliver()
        return (await keeper.owner.fetchrow(sql))["state"] == "succeeded"

    await eventually(announced)
    await eventually(ended, every_seconds=0.2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await keeper.deliver()
    assert tuple(await keeper.owner.fetchrow(sql)) == ("succeeded", OLD, None)
    assert (await keeper.left())[0] == OLD
    assert await keeper.owner.fetchval("SELECT count(*) FROM entries WHERE action = 'finish_retention'") == 1
    for hours, runs in ((23, 1), (25, 2)):
        await keeper.owner.execute("UPDATE retention_runs SET created_at = now() - make_interval(hours => $1)", hours)
        async with keeper.built.database.transaction() as session:
            await store.ask_daily(session)
        assert await keeper.owner.fetchval("SELECT count(*) FROM retention_runs") == runs


async def test_several_processes_run_one_run(keeper: Keeper) -> None:
    async with keeper.built.database.transaction() as session:
        asked = [await store.ask(session, ADMIN) for _ in range(3)]
    assert len({run.id for run in asked}) == 1
    running = [asyncio.create_task(keeper.with_bounds().run()) for _ in range(3)]

    async def ended() -> object:
        await keeper.deliver()
        return await keeper.owner.fetchval("SELECT state FROM retention_runs") == "succeeded"

    await eventually(ended, every_seconds=0.2)
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    rows = await keeper.owner.fetch("SELECT archived, pruned FROM retention_runs")
    assert [tuple(row) for row in rows] == [(OLD, OLD)]


async def test_what_a_sink_has_not_sent_yet_stays_until_it_has(keeper: Keeper) -> None:
    await keeper.owner.execute(
        "INSERT INTO sinks (id, name, target, format, filters, is_enabled, created_by, cursor)"
        " SELECT gen_random_uuid(), name, '{}', 'json', '{}', is_enabled, 'admin-1', cursor"
        " FROM (VALUES ('slow', true, 7), ('given up', false, 2)) AS made (name, is_enabled, cursor)"
    )
    assert (await keeper.turns()).pruned == 7
    assert (await keeper.left())[0] == 7
    await keeper.owner.execute("UPDATE sinks SET cursor = 1000")
    await keeper.turns()
    assert (await keeper.left())[0] == OLD


async def test_nothing_goes_while_the_archive_is_not_what_was_verified(keeper: Keeper) -> None:
    await keeper.retention.turn()
    await keeper.deliver()
    [path] = keeper.built.config.archives.glob("*.jsonl.gz")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArchiveRefused, match="is not the file that was verified"):
        await keeper.retention.turn()
    path.unlink()
    with pytest.raises(ArchiveRefused, match="cannot be read"):
        await keeper.retention.turn()
    assert (await keeper.left())[0] == 0
    path.write_bytes(content)
    assert (await keeper.turns()).pruned == OLD


async def test_a_log_that_does_not_hold_is_not_archived(keeper: Keeper) -> None:
    await keeper.owner.execute("ALTER TABLE entries DISABLE TRIGGER USER")
    await keeper.owner.execute("UPDATE entries SET details = '{}' WHERE sequence = 17")
    with pytest.raises(ArchiveRefused, match="entry 17"):
        await keeper.retention.turn()
    assert await keeper.owner.fetchval("SELECT count(*) FROM log_archives") == 0


async def test_the_service_itself_removes_nothing_that_is_not_announced_archived_and_old(keeper: Keeper) -> None:
    for statement in (
        "DELETE FROM entries WHERE sequence = 0", "DELETE FROM log_openings WHERE sequence = 0",
        "DROP TABLE entries_default", "SELECT prune_entries(0, 10)", "SELECT prune_month('2020-01-01', '{0}')",
        "UPDATE log_archives SET ends = ends + 1", "DELETE FROM legal_holds",
    ):  # fmt: skip
        if "prune_month" in statement:
            assert await keeper.as_service(statement) is None
            continue
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await keeper.as_service(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await keeper.owner.execute("DELETE FROM entries WHERE sequence = 0")
    await keeper.turns()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await keeper.owner.execute("DELETE FROM entries WHERE sequence = 600")


async def test_a_month_with_something_to_keep_is_not_dropped(keeper: Keeper) -> None:
    await keeper.ask(PlaceHold(name="One", reason="One entry", filter=HoldFilter(target_type="order")))
    announced = await keeper.retention.turn()
    assert announced.announced >= 1
    await keeper.deliver()
    place = await keeper.owner.fetchval("SELECT max(sequence) FROM entries WHERE action = 'prune_audit_log'")
    month = await keeper.owner.fetchval(
        "SELECT date_trunc('month', recorded_at AT TIME ZONE 'UTC')::date FROM entries WHERE sequence = 0"
    )
    assert await keeper.as_service("SELECT prune_month($1, $2::bigint[])", month, [place]) is None
    assert (await keeper.left())[0] == 0
