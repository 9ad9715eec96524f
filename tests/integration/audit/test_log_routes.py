"""The log's routes: every proof holds against the signed checkpoint, every tile is that of the tree, every lie is found."""

import base64
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.audit.app import signer as signer_of
from services.audit.log.checkpoints import open_checkpoint
from services.audit.log.notes import VerifierKey
from services.audit.log.proofs import is_included
from services.audit.log.tiles import Tile, tiles_of
from tests.integration.audit.archive import Archive, Built, platform_event, request_recorded
from tests.integration.audit.test_sequencer import stored

SIZE = 600


async def get(archive: Archive, target: str) -> Any:
    return await archive.get(target, permission="audit:verify")


async def key_of(archive: Archive) -> VerifierKey:
    return VerifierKey.parse((await get(archive, "/log/key")).text)


@pytest.fixture
async def log(built: Built, archive: Archive) -> Archive:
    """A log of 600 entries, sequenced and signed."""
    await archive.record(*[request_recorded(producerseq=number + 1) for number in range(SIZE)])
    await archive.sequence()
    await signer_of(built.config, built.database).turn()
    return archive


async def test_every_entry_is_proven_against_the_signed_checkpoint(log: Archive) -> None:
    key = await key_of(log)
    for sequence in (0, 255, 256, 511, 512, 599):
        entry_id = await log.value("SELECT id::text FROM entries WHERE sequence = $1", sequence)
        found = (await get(log, f"/logs/{entry_id}/proof")).json()
        checkpoint = open_checkpoint(found["checkpoint"], key)
        assert (found["sequence"], found["tree_size"], checkpoint.size) == (sequence, SIZE, SIZE)
        leaf = sha256(b"\0" + base64.b64decode(found["entry"])).digest()
        assert base64.b64decode(found["leaf_hash"]) == leaf
        assert is_included(
            leaf=leaf, index=sequence, size=SIZE, root=checkpoint.root,
            proof=[base64.b64decode(one) for one in found["hashes"]],
        )  # fmt: skip


async def test_the_proof_as_a_file_says_the_same(log: Archive) -> None:
    entry_id = await log.value("SELECT id::text FROM entries WHERE sequence = 77")
    found = (await get(log, f"/logs/{entry_id}/proof")).json()
    answer = await get(log, f"/logs/{entry_id}/proof?format=tlog-proof")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    head, _, checkpoint = answer.text.partition("\n\n")
    assert head.split("\n") == ["c2sp.org/tlog-proof@v1", "index 77", *found["hashes"]]
    assert checkpoint == found["checkpoint"]


async def test_an_entry_that_no_checkpoint_reaches_yet_is_said_to_be_early(log: Archive) -> None:
    await log.record(platform_event())
    entry_id = await log.value("SELECT id::text FROM entries WHERE sequence = $1", SIZE)
    answer = await get(log, f"/logs/{entry_id}/proof")
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "proof_not_ready")


@pytest.mark.parametrize("entry_id", ["0199a0c0-0000-7000-8000-000000000000", "00000000-0000-0000-0000-000000000000"])
async def test_an_entry_that_is_not_there_has_no_proof(log: Archive, entry_id: str) -> None:
    assert (await get(log, f"/logs/{entry_id}/proof")).status_code == 404


async def test_the_whole_log_is_made_again_from_its_tiles(log: Archive) -> None:
    """As any reader of tiles would: leaves from bundles, hashes from tiles, the root from the checkpoint."""
    made = await stored(log)
    hashes, bodies = b"", b""
    for number in range(SIZE // 256 + 1):
        width = min(256, SIZE - number * 256)
        bodies += (await get(log, f"/log/tile/{Tile(None, number, width).path}")).content
        hashes += (await get(log, f"/log/tile/{Tile(0, number, width).path}")).content
    assert hashes == b"".join(made.leaves)
    assert bodies == b"".join(len(body).to_bytes(2, "big") + body for body in made.bodies)
    answer = await get(log, f"/log/tile/{tiles_of(SIZE)[1].path}")
    assert answer.content == b"".join(one.hash for one in made.kept)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "application/octet-stream"
    checkpoint = open_checkpoint((await get(log, "/log/checkpoint")).text, await key_of(log))
    assert (checkpoint.size, checkpoint.root) == (SIZE, made.frontier.root)


@pytest.mark.parametrize(
    "path", ["0/002", "0/002.p/89", "0/003", "1/000", "1/000.p/3", "2/000.p/1", "entries/002", "0/2", "x"]
)
async def test_a_tile_that_the_log_does_not_fill_is_not_found(log: Archive, path: str) -> None:
    answer = await get(log, f"/log/tile/{path}")
    assert (answer.status_code, answer.json()["detail"]["error"]) == (404, "tile_not_found")


async def test_what_is_not_in_the_tree_yet_is_in_no_tile(log: Archive) -> None:
    await log.record(platform_event())
    assert (await get(log, "/log/tile/entries/002.p/89")).status_code == 404
    assert (await get(log, "/log/tile/entries/002.p/88")).status_code == 200


async def test_a_log_without_a_checkpoint_says_so(archive: Archive) -> None:
    assert (await get(archive, "/log/checkpoint")).status_code == 404


@pytest.mark.parametrize("target", ["/log/key", "/log/checkpoint", "/log/tile/0/000", "/log/verification"])
async def test_reading_entries_is_no_right_to_the_log(log: Archive, target: str) -> None:
    assert (await log.get(target, permission="audit:read")).status_code == 401


async def verified(archive: Archive, count: int = 256) -> list[dict[str, Any]]:
    """The answers of a check of all the log, part after part."""
    found: list[dict[str, Any]] = []
    following: int | None = 0
    while following is not None:
        found.append((await get(archive, f"/log/verification?first={following}&count={count}")).json())
        following = found[-1]["next"]
    return found


@pytest.mark.parametrize("count", [256, 300, 1000])
async def test_a_clean_log_holds_in_whatever_parts_it_is_checked(log: Archive, count: int) -> None:
    parts = await verified(log, count)
    assert all(part["holds"] and part["first_bad"] is None for part in parts)
    assert sum(part["checked"] for part in parts) == parts[-1]["tree_size"] == SIZE


TAMPERED = {
    "a body": ("log_leaves", "UPDATE log_leaves SET body = body || ' ' WHERE sequence = 300", 300, "leaf_hash"),
    "a body and its hash": (
        "log_leaves",
        "UPDATE log_leaves SET body = replace(convert_from(body, 'UTF8'), 'list_', 'hide_')::bytea,"
        " leaf_hash = sha256('\\x00'::bytea || replace(convert_from(body, 'UTF8'), 'list_', 'hide_')::bytea)"
        " WHERE sequence = 300",
        300,
        "entry_changed",
    ),
    "an entry's action": ("entries", "UPDATE entries SET action = 'nothing' WHERE sequence = 300", 300, "entry_changed"),
    "an entry's actor": ("entries", "UPDATE entries SET admin_user_id = 'other' WHERE sequence = 3", 3, "entry_changed"),
    "an entry's time": (
        "entries", "UPDATE entries SET created_at = created_at - interval '1 s' WHERE sequence = 3", 3, "entry_changed",
    ),
    "an entry's details": ("entries", "UPDATE entries SET details = '{}' WHERE sequence = 599", 599, "commitment"),
    "an entry's address": ("entries", "UPDATE entries SET ip_address = NULL WHERE sequence = 1", 1, "commitment"),
    "a deleted entry": ("entries", "DELETE FROM entries WHERE sequence = 42", 42, "entry_missing"),
    "a deleted leaf": ("log_leaves", "DELETE FROM log_leaves WHERE sequence = 42", 42, "leaf_missing"),
    "the last leaf deleted": ("log_leaves", "DELETE FROM log_leaves WHERE sequence = 599", 599, "leaf_missing"),
    "swapped seeds": (
        "log_openings",
        "UPDATE log_openings SET seed = (SELECT seed FROM log_openings WHERE sequence = 8) WHERE sequence = 7",
        7, "commitment",
    ),
    "a kept subtree": ("log_nodes", "UPDATE log_nodes SET hash = sha256('x') WHERE idx = 1", 256, "node"),
    "a deleted subtree": ("log_nodes", "DELETE FROM log_nodes WHERE idx = 1", 256, "node"),
    "the root": ("log_head", "UPDATE log_head SET root = sha256('x')", 600, "root"),
    "the frontier": ("log_head", "UPDATE log_head SET frontier = overlay(frontier PLACING sha256('x') FROM 1)", 600, "root"),
    "a checkpoint": ("log_checkpoints", "UPDATE log_checkpoints SET note = replace(note, '600', '601')", 600, "checkpoint"),
    "a checkpoint's root": ("log_checkpoints", "UPDATE log_checkpoints SET root = sha256('x')", 600, "checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
async def test_whatever_a_superuser_changes_is_named_with_the_first_sequence_it_touches(
    log: Archive, owner: asyncpg.Connection, what: str
) -> None:
    table, statement, sequence, problem = TAMPERED[what]
    partitions = await owner.fetch("SELECT relid::regclass::text FROM pg_partition_tree($1::regclass)", table)
    for row in partitions or [(table,)]:
        await owner.execute(f"ALTER TABLE {row[0]} DISABLE TRIGGER USER")
    await owner.execute(statement)
    last = (await verified(log))[-1]
    assert last["holds"] is False
    assert last["next"] is None
    assert last["first_bad"] == {"sequence": sequence, "problem": problem}


async def test_two_entries_that_changed_places_are_found(log: Archive, owner: asyncpg.Connection) -> None:
    await owner.execute("ALTER TABLE log_leaves DISABLE TRIGGER USER")
    await owner.execute(
        "UPDATE log_leaves AS a SET body = b.body, leaf_hash = b.leaf_hash FROM log_leaves AS b"
        " WHERE (a.sequence, b.sequence) IN ((20, 21), (21, 20))"
    )
    assert (await verified(log))[-1]["first_bad"] == {"sequence": 20, "problem": "entry_changed"}


async def test_what_was_erased_is_no_problem_and_what_stays_must_still_open(
    log: Archive, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    import hmac
    import json

    seed = await log.value("SELECT seed FROM log_openings WHERE sequence = 9")
    salt = hmac.digest(seed, b"adminlog/salt/v1\0/details", "sha256")
    await owner.execute("ALTER TABLE entries DISABLE TRIGGER USER")
    for row in await owner.fetch("SELECT relid::regclass::text FROM pg_partition_tree('entries')"):
        await owner.execute(f"ALTER TABLE {row[0]} DISABLE TRIGGER USER")
    await owner.execute(
        "UPDATE log_openings SET seed = NULL, salts = $1 WHERE sequence = 9",
        json.dumps({"/details": base64.b64encode(salt).decode()}),
    )
    await owner.execute("UPDATE entries SET admin_username = NULL, ip_address = NULL WHERE sequence = 9")
    assert (await verified(log))[-1]["first_bad"] == {"sequence": 9, "problem": "commitment"}
    said = json.dumps([{"members": ["admin_username", "changes", "ip_address", "user_agent"]}])
    await owner.execute("UPDATE entries SET redactions = $1 WHERE sequence = 9", said)
    assert all(part["holds"] for part in await verified(log))
    await owner.execute("UPDATE entries SET details = '{}' WHERE sequence = 9")
    assert (await verified(log))[-1]["first_bad"] == {"sequence": 9, "problem": "commitment"}
