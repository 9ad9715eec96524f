"""Whatever is appended, held, lifted and pruned, in whatever order: every entry that is left is proven, and the log holds."""

import base64
import random
from pathlib import Path

import asyncpg
import pytest

from libs.common.events.retention import HoldFilter, LiftHold, PlaceHold, SetRetention
from services.audit.log.checkpoints import open_checkpoint
from services.audit.log.proofs import is_included
from services.audit.log.tree import leaf_hash
from tests.integration.audit.archive import Archive, Built, platform_event, request_recorded
from tests.integration.audit.keeping import Keeper
from tests.integration.audit.test_verifier import checkpoint_of, dumped, key_of
from tests.support.audit_verdicts import first_of_each, verdict_on

KINDS = ("com.shop.a.v1", "com.shop.b.v1", "com.shop.c.v1")
STEPS = 14


async def step(keeper: Keeper, chance: random.Random, holds: list[str]) -> None:
    """One thing that may happen to a log."""
    match chance.choice(("append", "append", "age", "hold", "lift", "rules", "prune")):
        case "append":
            events = [platform_event(chance.choice(KINDS)) for _ in range(chance.randint(1, 90))]
            await keeper.archive.record(*events, request_recorded())
            await keeper.seal()
        case "age":
            size = await keeper.owner.fetchval("SELECT size FROM log_state")
            await keeper.age(days=chance.choice((50, 450, 700)), last=chance.randint(0, size))
        case "hold":
            filters = HoldFilter(event_type=chance.choice(KINDS))
            held = await keeper.ask(
                PlaceHold(name=f"hold {len(holds)} {chance.random()}", reason="why", filter=filters)
            )
            holds.append(held["hold_id"])
        case "lift" if holds:
            await keeper.ask(LiftHold(hold_id=holds.pop(), reason="done"))
        case "rules":
            await keeper.ask(SetRetention(types={chance.choice(KINDS): chance.choice((30, 400, 1000))}))
        case _:
            await keeper.turns(keeper.with_bounds(most_archived=64, most_pruned=17))


async def is_proven(keeper: Keeper) -> None:
    """Each entry that is left, against the newest checkpoint."""
    for row in await keeper.owner.fetch("SELECT id, sequence FROM entries"):
        said = (await keeper.archive.get(f"/logs/{row['id']}/proof", permission="audit:verify")).json()
        signed = open_checkpoint(said["checkpoint"], keeper.built.service.app.state.log_key)
        proof = [base64.b64decode(one) for one in said["hashes"]]
        leaf = leaf_hash(base64.b64decode(said["entry"]))
        assert is_included(leaf=leaf, index=row["sequence"], size=signed.size, proof=proof, root=signed.root)


@pytest.mark.parametrize("seed", range(4))
async def test_after_any_appends_holds_and_prunes_every_entry_left_is_proven(
    built: Built, archive: Archive, owner: asyncpg.Connection, tmp_path: Path, seed: int
) -> None:
    keeper, chance, holds = Keeper(built, archive, owner), random.Random(seed), list[str]()
    await archive.record(*[platform_event(kind) for kind in KINDS])
    await keeper.seal()
    kept = [await checkpoint_of(archive)]
    for _ in range(STEPS):
        await step(keeper, chance, holds)
        kept.append(await checkpoint_of(archive))
    held = await owner.fetchval("SELECT count(*) FROM entries AS e WHERE is_held(e)")
    await keeper.age(days=700)
    await keeper.turns()
    assert await owner.fetchval("SELECT count(*) FROM entries AS e WHERE is_held(e)") == held
    await keeper.seal()
    await is_proven(keeper)
    verdict = verdict_on(await dumped(built, tmp_path), await key_of(archive), older=kept)
    assert first_of_each(verdict) == {}
