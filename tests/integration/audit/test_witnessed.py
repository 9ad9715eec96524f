"""What the log says of itself once witnesses cosign: which head is witnessed, how far an entry is, and which notes bear whose lines."""

import base64
from collections.abc import Sequence

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import REGISTRY

from services.audit.log.checkpoints import open_checkpoint
from services.audit.log.cosignatures import WitnessKey, cosign, find_cosignature
from services.audit.log.notes import VerifierKey, parted
from services.audit.log.proofs import is_included
from services.audit.models.witnesses import EntryState, Quorum, state_of
from services.audit.store import cosignatures
from services.audit.verifier.notes import open_checkpoint as verifier_opens
from services.audit.verifier.notes import parse_key
from services.audit.watcher import Watcher
from tests.integration.audit.archive import Archive, Built, platform_event
from tests.integration.audit.keeping import Keeper
from tests.integration.audit.test_log_routes import get
from tests.integration.audit.test_verifier import key_of

PRIVATES = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 4)]
KEYS = [WitnessKey(f"w.test/{number}", one.public_key().public_bytes_raw()) for number, one in enumerate(PRIVATES, 1)]
TIME = 1_700_000_000


@pytest.fixture
async def keeper(built: Built, archive: Archive, owner: asyncpg.Connection) -> Keeper:
    """A log with signed heads over 10, 20, 30 and 40 entries, and five entries behind them."""
    found = Keeper(built, archive, owner)
    for _ in range(4):
        await archive.record(*[platform_event() for _ in range(10)])
        await found.seal()
    await archive.record(*[platform_event() for _ in range(5)])
    return found


def asks_for(keeper: Keeper, least: int, *witnesses: int) -> Quorum:
    """Have the service know these witnesses, and how many of them make a head witnessed."""
    quorum = Quorum(tuple(KEYS[one - 1] for one in witnesses), least)
    keeper.built.service.app.state.quorum = quorum
    return quorum


async def cosigned(keeper: Keeper, size: int, *witnesses: int) -> None:
    """These witnesses cosign the head of that size."""
    note = await keeper.archive.value("SELECT note FROM log_checkpoints WHERE size = $1", size)
    for number in witnesses:
        made = cosign(KEYS[number - 1].name, PRIVATES[number - 1], parted(note)[0], time=TIME + number)
        async with keeper.built.database.transaction() as session:
            await cosignatures.append(session, size=size, key=KEYS[number - 1], cosignature=made)


async def witnessed(keeper: Keeper, quorum: Quorum) -> int | None:
    async with keeper.built.database.reading() as session:
        return await cosignatures.witnessed_size(session, quorum)


@pytest.mark.parametrize(
    ("least", "witnesses", "by_size", "expected"),
    [
        (1, [1], {}, None),
        (1, [1], {10: [1]}, 10),
        (1, [1, 2], {10: [1], 20: [2]}, 20),
        (2, [1, 2], {10: [1], 20: [2]}, None),
        (2, [1, 2], {10: [1, 2], 20: [2], 30: [2]}, 10),
        (2, [1, 2], {10: [1, 2], 20: [2], 30: [1]}, 10),
        (2, [1, 2, 3], {10: [1, 2, 3], 20: [2, 3], 30: [1]}, 20),
        (3, [1, 2, 3], {10: [1, 2, 3], 20: [2, 3], 30: [1]}, 10),
        (1, [1], {10: [1], 20: [2], 30: [3]}, 10),
        (2, [1, 2], {10: [1, 3], 20: [2, 3]}, None),
    ],
)
async def test_a_head_is_witnessed_once_enough_of_the_named_witnesses_cosigned_it(
    keeper: Keeper, least: int, witnesses: Sequence[int], by_size: dict[int, list[int]], expected: int | None
) -> None:
    quorum = asks_for(keeper, least, *witnesses)
    for size, who in by_size.items():
        await cosigned(keeper, size, *who)
    assert await witnessed(keeper, quorum) == expected


async def test_a_key_of_the_same_name_is_another_witness(keeper: Keeper) -> None:
    await cosigned(keeper, 10, 1)
    renewed = Quorum((WitnessKey(KEYS[0].name, KEYS[1].public),), 1)
    assert await witnessed(keeper, renewed) is None


async def test_the_first_cosignature_of_a_witness_for_a_size_stays(keeper: Keeper) -> None:
    for _ in range(2):
        await cosigned(keeper, 10, 1)
    assert await keeper.archive.value("SELECT count(*) FROM log_cosignatures") == 1


def test_an_entry_is_accepted_then_integrated_then_witnessed() -> None:
    order: list[EntryState] = [state_of(9, signed=signed, witnessed=seen) for signed, seen in (
        (None, None), (9, None), (10, None), (10, 9), (20, 10), (20, 20),
    )]  # fmt: skip
    assert order == ["accepted", "accepted", "integrated", "integrated", "witnessed", "witnessed"]


async def test_an_entry_says_how_far_it_is(keeper: Keeper) -> None:
    asks_for(keeper, 1, 1)
    await cosigned(keeper, 20, 1)
    for sequence, state in (
        (0, "witnessed"),
        (19, "witnessed"),
        (20, "integrated"),
        (39, "integrated"),
        (40, "accepted"),
    ):
        entry_id = await keeper.archive.value("SELECT id::text FROM entries WHERE sequence = $1", sequence)
        assert (await keeper.archive.body(f"/logs/{entry_id}"))["proof_state"] == state, sequence


async def test_a_witnessed_note_bears_its_cosignatures_and_everybody_opens_it(keeper: Keeper) -> None:
    asks_for(keeper, 2, 1, 2)
    await cosigned(keeper, 30, 1, 2, 3)
    await cosigned(keeper, 40, 1)
    key = await key_of(keeper.archive)
    for query, size, who in (("", 40, [1]), ("?witnessed=true", 30, [1, 2, 3]), ("?witnessed=false", 40, [1])):
        answer = await get(keeper.archive, f"/log/checkpoint{query}")
        assert answer.status_code == 200
        assert open_checkpoint(answer.text, VerifierKey.parse(key)).size == size
        assert verifier_opens(answer.text, parse_key(key)).size == size
        text, lines = parted(answer.text)
        assert len(lines) == 1 + len(who)
        assert lines[0].startswith("— reeve.local/audit ")
        assert [number for number in (1, 2, 3) if find_cosignature(text, lines, KEYS[number - 1])] == who


async def test_an_entry_is_proven_to_the_witnessed_head(keeper: Keeper) -> None:
    asks_for(keeper, 1, 1)
    await cosigned(keeper, 20, 1)
    key = VerifierKey.parse(await key_of(keeper.archive))
    entry_id = await keeper.archive.value("SELECT id::text FROM entries WHERE sequence = 13")
    for query, size in (("", 40), ("?witnessed=true", 20)):
        found = (await get(keeper.archive, f"/logs/{entry_id}/proof{query}")).json()
        head = open_checkpoint(found["checkpoint"], key)
        assert (found["tree_size"], head.size, found["witnessed_size"]) == (size, size, 20)
        proof = [base64.b64decode(one) for one in found["hashes"]]
        leaf = base64.b64decode(found["leaf_hash"])
        assert is_included(leaf=leaf, index=13, size=size, proof=proof, root=head.root)
    file = (await get(keeper.archive, f"/logs/{entry_id}/proof?witnessed=true&format=tlog-proof")).text
    note = file.partition("\n\n")[2]
    assert note == (await get(keeper.archive, "/log/checkpoint?witnessed=true")).text
    early = await keeper.archive.value("SELECT id::text FROM entries WHERE sequence = 20")
    answer = await get(keeper.archive, f"/logs/{early}/proof?witnessed=true")
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "proof_not_ready")


async def test_what_is_not_there_is_said(keeper: Keeper) -> None:
    entry_id = await keeper.archive.value("SELECT id::text FROM entries WHERE sequence = 0")
    for target in ("/log/checkpoint?witnessed=true", f"/logs/{entry_id}/proof?witnessed=true"):
        answer = await get(keeper.archive, target)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "no_witnesses")
    asks_for(keeper, 1, 1)
    answer = await get(keeper.archive, "/log/checkpoint?witnessed=true")
    assert (answer.status_code, answer.json()["detail"]["error"]) == (404, "checkpoint_not_found")
    assert (await get(keeper.archive, "/log/checkpoint?witnessed=perhaps")).status_code == 422


async def test_the_check_of_the_log_says_how_far_it_is_signed_and_witnessed(keeper: Keeper) -> None:
    said = (await get(keeper.archive, "/log/verification")).json()
    assert (said["holds"], said["signed_size"], said["witnessed_size"]) == (True, 40, None)
    asks_for(keeper, 1, 1)
    await cosigned(keeper, 30, 1)
    said = (await get(keeper.archive, "/log/verification")).json()
    assert (said["holds"], said["signed_size"], said["witnessed_size"]) == (True, 40, 30)


async def test_how_long_heads_wait_for_witnesses_is_measured(keeper: Keeper, owner: asyncpg.Connection) -> None:
    watcher = Watcher(keeper.built.database, quorum=asks_for(keeper, 1, 1))
    await owner.execute("ALTER TABLE log_checkpoints DISABLE TRIGGER append_only")
    await owner.execute("UPDATE log_checkpoints SET signed_at = now() - (100 - size) * interval '1 s'")
    for size, least, most in ((None, 90, 120), (20, 70, 100), (40, 0, 0)):
        if size is not None:
            await cosigned(keeper, size, 1)
        await watcher.turn()
        assert REGISTRY.get_sample_value("reeve_audit_witnessed_size") == (size or 0)
        age = REGISTRY.get_sample_value("reeve_audit_unwitnessed_age_seconds")
        assert age is not None
        assert least <= age <= most, size
