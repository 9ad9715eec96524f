"""The log's heads before real witnesses: what they cosign is kept, and a log that was rewritten, cut back or misnamed is refused."""

import asyncio
import base64
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import REGISTRY

from libs.common.keys import load_or_create_ed25519
from services.audit.anchors.anchor import AnchorFailed
from services.audit.anchors.anchoring import Anchoring
from services.audit.anchors.witness import WitnessAnchor
from services.audit.app import LOG_KEY
from services.audit.log.checkpoints import signed_checkpoint
from services.audit.log.cosignatures import WitnessKey, cosign, find_cosignature
from services.audit.log.notes import SigningKey, parted
from services.audit.log.proofs import consistency_ranges
from services.audit.store import tree
from services.audit.verifier.cli import main as verify
from tests.integration.audit.archive import Archive, Built, platform_event
from tests.integration.audit.keeping import Keeper
from tests.integration.audit.test_verifier import checkpoint_of, dumped, key_of
from tests.support.receivers import serve
from tests.support.witness import Running, witness

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
STRANGE = WitnessKey("strange.test/w", PRIVATE.public_key().public_bytes_raw())


@pytest.fixture
async def keeper(built: Built, archive: Archive, owner: asyncpg.Connection) -> Keeper:
    """A log with one signed head over ten entries."""
    found = Keeper(built, archive, owner)
    await grow(found)
    return found


async def grow(keeper: Keeper, count: int = 10) -> str:
    """More entries under a new head; its note."""
    await keeper.archive.record(*[platform_event() for _ in range(count)])
    await keeper.seal()
    return await checkpoint_of(keeper.archive)


def anchor(keeper: Keeper, url: str, key: WitnessKey, *, seconds: float = 5.0) -> WitnessAnchor:
    """An anchor that knows nothing of what was before, as after a start."""

    async def prove(old: int, new: int) -> list[bytes]:
        async with keeper.built.database.reading() as session:
            return await tree.proof(session, consistency_ranges(old, new))

    return WitnessAnchor(url, key, prove=prove, seconds=seconds)


async def turn(keeper: Keeper, one: WitnessAnchor) -> bool:
    """Give the newest head, without regard to the beat."""
    return await Anchoring(keeper.built.database, [one], seconds=1).turn(one)


async def given(keeper: Keeper, running: Running) -> bool:
    """Give the newest head by an anchor that was just started."""
    return await turn(keeper, anchor(keeper, running.url, running.key))


async def kept(keeper: Keeper) -> list[tuple[int, str]]:
    """Of which sizes whose cosignatures are kept."""
    rows = await keeper.owner.fetch("SELECT size, witness FROM log_cosignatures ORDER BY 1, 2")
    return [(row["size"], row["witness"]) for row in rows]


async def failure(keeper: Keeper, one: WitnessAnchor) -> str:
    """Why an anchor does not keep the newest head."""
    row = await keeper.owner.fetchrow("SELECT size, failures, error FROM log_anchors WHERE anchor = $1", one.name)
    assert row["failures"] > 0
    return str(row["error"])


@pytest.fixture
async def logs(keeper: Keeper) -> str:
    """The log's verifier key, as the operator of a witness is told it."""
    return await key_of(keeper.archive)


async def test_each_head_is_cosigned_and_the_cosignature_is_kept(keeper: Keeper, logs: str, tmp_path: Path) -> None:
    async with witness(tmp_path / "w", logs) as running:
        one = anchor(keeper, running.url, running.key)
        assert await turn(keeper, one)
        assert await turn(keeper, one)
        note = await grow(keeper, 300)
        assert await turn(keeper, one)
        assert await kept(keeper) == [(10, running.key.name), (310, running.key.name)]
        note = await checkpoint_of(keeper.archive)
        cosignature = find_cosignature(*parted(note), running.key)
        assert cosignature is not None
        assert abs(cosignature.time - time.time()) < 30
        assert parted(note)[1][0].startswith(f"— {logs.partition('+')[0]} ")
    assert await verified(keeper, tmp_path, running.key) == 0
    assert await verified(keeper, tmp_path, running.key, STRANGE) == 10
    for statement in (
        "UPDATE log_cosignatures SET line = ''",
        "DELETE FROM log_cosignatures",
        "TRUNCATE log_cosignatures",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await keeper.owner.execute(statement)


async def test_a_log_that_starts_anew_asks_where_the_witness_is(keeper: Keeper, logs: str, tmp_path: Path) -> None:
    async with witness(tmp_path / "w", logs) as running:
        assert await given(keeper, running)
        # The same head again, as after a crash before the row was written, and then one behind which the witness is.
        await keeper.owner.execute("DELETE FROM log_anchors")
        assert await given(keeper, running)
        await grow(keeper, 7)
        assert await given(keeper, running)
        assert [size for size, _ in await kept(keeper)] == [10, 17]


async def test_a_log_that_was_cut_back_is_not_cosigned_and_somebody_is_told(
    keeper: Keeper, logs: str, tmp_path: Path
) -> None:
    """As a restored backup, with signer and all: the witness is ahead of it."""
    key = SigningKey("reeve.local/audit", load_or_create_ed25519(keeper.built.config.keys / LOG_KEY))
    async with witness(tmp_path / "w", logs) as running:
        assert await given(keeper, running)
        one = anchor(keeper, running.url, running.key)
        with pytest.raises(AnchorFailed, match="size 10, and the log's has 7: the log was cut back") as failed:
            await one.keep(size=7, note=signed_checkpoint(key, size=7, root=bytes(32)))
        assert failed.value.contradicts


async def test_a_rewritten_log_that_was_signed_again_is_refused_for_ever(
    keeper: Keeper, logs: str, tmp_path: Path
) -> None:
    """Whoever owns the database and the log's key writes another past; the witness has seen the one before."""
    async with witness(tmp_path / "w", logs) as running:
        one = anchor(keeper, running.url, running.key)
        assert await turn(keeper, one)
        await rewrite(keeper)
        for attempt in (one, anchor(keeper, running.url, running.key)):
            assert not await turn(keeper, attempt)
            assert "seen another log: the head of size 30" in await failure(keeper, attempt)
            assert REGISTRY.get_sample_value("reeve_audit_anchor_contradicts", {"anchor": attempt.name}) == 1
        assert [size for size, _ in await kept(keeper)] == [10]
        evidence = next((running.folder / "heads").glob("*.refused")).read_text()
        assert evidence == await checkpoint_of(keeper.archive)
    assert await verified(keeper, tmp_path) == 0
    assert await verified(keeper, tmp_path, running.key) == 10
    assert not await turn(keeper, one)
    assert "cannot be reached" in await failure(keeper, one)
    assert REGISTRY.get_sample_value("reeve_audit_anchor_contradicts", {"anchor": one.name}) == 1


async def verified(keeper: Keeper, folder: Path, *witnesses: WitnessKey) -> int:
    """What the offline verifier says of a dump when these witnesses are asked for."""
    path = await dumped(keeper.built, folder)
    asked = [argument for one in witnesses for argument in ("--witness", one.text)]
    arguments = [str(path), "--key", await key_of(keeper.archive), "--quiet", "--processes", "1", *asked]
    return await asyncio.to_thread(verify, arguments)


async def rewrite(keeper: Keeper) -> None:
    """Other entries in the places of the first ten, twenty behind them, and a new head by the log's own stolen key."""
    async with keeper.owner.transaction():
        for table in ("log_leaves", "log_nodes", "log_checkpoints", "log_head", "log_state", "entries"):
            await keeper.owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for table in ("log_leaves", "log_openings", "entries", "log_nodes", "log_checkpoints"):
            await keeper.owner.execute(f"DELETE FROM {table}")
        await keeper.owner.execute("UPDATE log_state SET size = 0")
        await keeper.owner.execute("UPDATE log_head SET size = 0, root = sha256(''), frontier = ''")
    for file in keeper.built.config.signer_dir.iterdir():
        file.unlink()
    await Keeper(keeper.built, keeper.archive, keeper.owner).archive.record(*[platform_event() for _ in range(30)])
    await Keeper(keeper.built, keeper.archive, keeper.owner).seal()


async def test_a_witness_that_does_not_know_the_log_or_its_key_says_so(
    keeper: Keeper, logs: str, tmp_path: Path
) -> None:
    other = SigningKey("log.example/other", Ed25519PrivateKey.generate()).verifier.text
    impostor = SigningKey("reeve.local/audit", Ed25519PrivateKey.generate()).verifier.text
    for folder, known, reason in (("a", other, "(404)"), ("b", impostor, "(403)")):
        async with witness(tmp_path / folder, known) as running:
            one = anchor(keeper, running.url, running.key)
            assert not await turn(keeper, one)
            assert reason in await failure(keeper, one)
    assert await kept(keeper) == []


async def test_an_answer_of_another_witness_is_not_kept(keeper: Keeper, logs: str, tmp_path: Path) -> None:
    async with witness(tmp_path / "w", logs) as running:
        one = anchor(keeper, running.url, STRANGE)
        assert not await turn(keeper, one)
        assert "bears no cosignature of strange.test/w+" in await failure(keeper, one)
        impostor = anchor(keeper, running.url, WitnessKey(running.key.name, STRANGE.public))
        assert not await turn(keeper, impostor)
    assert await kept(keeper) == []


def line(note: str, *, at: int = 0, private: Ed25519PrivateKey = PRIVATE, text: str | None = None) -> str:
    return cosign(STRANGE.name, private, text or parted(note)[0], time=int(time.time()) + at).line


STRANGE_ANSWERS: dict[str, tuple[Callable[[str], web.Response], str]] = {
    "garbage": (lambda note: web.Response(body=bytes(range(256))), "does not hold"),
    "nothing": (lambda note: web.Response(), "bears no cosignature"),
    "no line of signature": (lambda note: web.Response(text=line(note) + "and more\n"), "does not hold"),
    "half a line": (lambda note: web.Response(text=line(note)[:40]), "does not hold"),
    "too much": (lambda note: web.Response(text=line(note) * 2000), "has more than"),
    "another head": (lambda note: web.Response(text=line(note, text="reeve.local/audit\n9\nAAAA\n")), "does not hold"),
    "another key under its id": (
        lambda note: web.Response(text=line(note).replace("A", "B")), "does not hold",
    ),
    "yesterday": (lambda note: web.Response(text=line(note, at=-301)), "of another time"),
    "tomorrow": (lambda note: web.Response(text=line(note, at=330)), "of another time"),
    "an error": (lambda note: web.Response(status=500, text=line(note)), "(500)"),
    "elsewhere": (lambda note: web.Response(status=302, headers={"location": "http://127.0.0.1:1/"}), "(302)"),
    "a bad request": (lambda note: web.Response(status=400), "cannot read the request (400)"),
    "a size without its type": (lambda note: web.Response(status=409, text="3\n"), "409 without its size"),
    "no size": (
        lambda note: web.Response(status=409, body=b"-3\n", headers={"content-type": "text/x.tlog.size"}),
        "409 without its size",
    ),
    "a size for ever": (
        lambda note: web.Response(status=409, body=b"3\n", headers={"content-type": "text/x.tlog.size"}), "(409)",
    ),
    "a size beyond all": (
        lambda note: web.Response(status=409, body=b"11\n", headers={"content-type": "text/x.tlog.size"}),
        "has cosigned a head of size 11",
    ),
}  # fmt: skip


async def test_no_strange_answer_is_kept_and_each_is_said_in_a_line(keeper: Keeper) -> None:
    asked: list[str] = []
    answers: list[Callable[[str], web.Response]] = []

    async def strange(request: web.Request) -> web.Response:
        asked.append((await request.read()).decode())
        return answers[-1](asked[-1].partition("\n\n")[2])

    async with serve(strange) as url:
        one = anchor(keeper, url, STRANGE)
        for what, (answer, reason) in STRANGE_ANSWERS.items():
            answers.append(answer)
            count = len(asked)
            assert not await turn(keeper, one), what
            said = await failure(keeper, one)
            assert reason in said, (what, said)
            assert len(said.splitlines()) == 1
            assert len(asked) - count <= 2
        assert await kept(keeper) == []
        answers.append(lambda note: web.Response(text=f"— somebody.else AAAAAAAA\n{line(note)}"))
        assert await turn(keeper, one)
        assert await kept(keeper) == [(10, STRANGE.name)]


async def test_a_witness_behind_is_asked_once_more_with_the_proof_from_where_it_is(keeper: Keeper) -> None:
    asked: list[str] = []

    async def behind(request: web.Request) -> web.Response:
        asked.append((await request.read()).decode())
        if len(asked) == 1:
            return web.Response(status=409, body=b"3\n", headers={"content-type": "text/x.tlog.size"})
        return web.Response(text=line(asked[-1].partition("\n\n")[2]))

    async with serve(behind) as url:
        assert await turn(keeper, anchor(keeper, url, STRANGE))
    async with keeper.built.database.reading() as session:
        proof = await tree.proof(session, consistency_ranges(3, 10))
    hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
    note = (await checkpoint_of(keeper.archive)).partition("— strange")[0]
    assert asked == [f"old 0\n\n{note}", f"old 3\n{hashes}\n{note}"]


async def test_a_slow_witness_is_given_up_and_one_that_is_not_there_as_well(keeper: Keeper) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(100):
            await answer.write(b"\xe2")
            await asyncio.sleep(0.05)
        return answer

    async with serve(slow) as url:
        one = anchor(keeper, url, STRANGE, seconds=0.3)
        async with asyncio.timeout(3):
            assert not await turn(keeper, one)
        assert "cannot be reached: TimeoutError" in await failure(keeper, one)
    assert not await turn(keeper, one)
    assert "cannot be reached: Client" in await failure(keeper, one)


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("https://10.0.0.1/w", True), ("http://10.0.0.1/w", True), ("http://witness.example/", True),
        ("https://169.254.169.254/", True), ("http://127.0.0.1:1/", False), ("http://localhost:1", False),
    ],
)  # fmt: skip
async def test_a_witness_is_called_where_other_anchors_are(url: str, refused: bool) -> None:
    async def nothing(old: int, new: int) -> list[bytes]:
        return []

    with pytest.raises(AnchorFailed) as failed:
        await WitnessAnchor(url, STRANGE, prove=nothing, seconds=5).keep(size=1, note="note")
    assert ("cannot be reached" not in str(failed.value)) == refused, str(failed.value)


async def test_witnesses_in_step_are_given_the_same_head_though_each_is_by_itself(
    keeper: Keeper, logs: str, tmp_path: Path
) -> None:
    """A head that the log signs every second would else be another for each of them, and no head would bear a quorum."""
    first, second = tmp_path / "1", tmp_path / "2"
    async with witness(first, logs, name="w.test/1") as a, witness(second, logs, name="w.test/2") as b:
        anchors = [anchor(keeper, one.url, one.key) for one in (a, b)]
        in_step = Anchoring(keeper.built.database, anchors, seconds=1, in_step=True)
        await keeper.owner.execute("ALTER TABLE log_checkpoints DISABLE TRIGGER append_only")
        await keeper.owner.execute("UPDATE log_checkpoints SET signed_at = now() - interval '5 s'")
        hour = Anchoring(keeper.built.database, anchors, seconds=3600, in_step=True)
        await keeper.owner.execute("UPDATE log_checkpoints SET signed_at = date_trunc('hour', now())")
        assert await hour.turn(anchors[0])
        await grow(keeper)
        await keeper.owner.execute(
            "UPDATE log_checkpoints SET signed_at = date_trunc('hour', now()) + interval '1 ms' WHERE size = 20"
        )
        assert await hour.turn(anchors[1])
        assert await kept(keeper) == [(10, "w.test/1"), (10, "w.test/2")]
        await keeper.owner.execute("UPDATE log_checkpoints SET signed_at = now() - interval '5 s' WHERE size = 20")
        assert await in_step.turn(anchors[0])
        assert (await kept(keeper))[-1] == (20, "w.test/1")
