"""Signed heads are kept outside: in a file, by a webhook, by a time-stamper; each by itself, and again after a failure."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from libs.common.keys import load_or_create_ed25519
from libs.common.webhooks import secret_bytes
from services.audit.anchors.anchor import Anchor, AnchorFailed
from services.audit.anchors.anchoring import MOST_RETRY_SECONDS, Anchoring, pause_seconds
from services.audit.anchors.file import FileAnchor
from services.audit.anchors.timestamper import TimestampAnchor, roots_of
from services.audit.anchors.webhook import WebhookAnchor
from services.audit.app import LOG_KEY
from services.audit.log.checkpoints import open_checkpoint, signed_checkpoint
from services.audit.log.notes import SigningKey
from services.audit.verifier.cli import main as verify
from tests.integration.audit.archive import Archive, Built, platform_event
from tests.integration.audit.keeping import Keeper
from tests.integration.audit.test_verifier import checkpoint_of, dumped, key_of
from tests.support.eventually import eventually
from tests.support.receivers import serve
from tests.support.timestamper import Timestamper, timestamper

SECRET = bytes(range(32))
ORIGIN = "reeve.local/audit"


@pytest.fixture
async def keeper(built: Built, archive: Archive, owner: asyncpg.Connection) -> Keeper:
    """A log with one signed head over ten entries."""
    found = Keeper(built, archive, owner)
    await grow(found)
    return found


async def grow(keeper: Keeper) -> str:
    """Ten more entries under a new head; its note."""
    await keeper.archive.record(*[platform_event() for _ in range(10)])
    await keeper.seal()
    return await checkpoint_of(keeper.archive)


class Receiver:
    """A webhook's other end, which checks signatures by its own reading of the standard."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.bodies: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.hangs = False
        self.waits_for: asyncio.Event | None = None
        self.arrived = 0

    async def take(self, request: web.Request) -> web.Response:
        self.arrived += 1
        if self.waits_for is not None:
            await self.waits_for.wait()
        if self.hangs:
            await asyncio.sleep(60)
        body, named = await request.read(), request.headers
        signed = b".".join([named["webhook-id"].encode(), named["webhook-timestamp"].encode(), body])
        expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        assert named["webhook-signature"] == f"v1,{expected}"
        self.ids.append(named["webhook-id"])
        self.bodies.append(json.loads(body))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)


async def test_the_file_grows_by_each_head_once_and_the_verifier_takes_it(keeper: Keeper, tmp_path: Path) -> None:
    path = tmp_path / "anchors" / "heads"
    anchor, notes = FileAnchor(path), [await checkpoint_of(keeper.archive)]
    anchoring = Anchoring(keeper.built.database, [anchor], seconds=1)
    assert await anchoring.turn(anchor)
    assert await anchoring.turn(anchor)
    notes.append(await grow(keeper))
    assert await anchoring.turn(anchor)
    # After a crash between file and row the same head comes again.
    await keeper.owner.execute("UPDATE log_anchors SET size = 10")
    assert await Anchoring(keeper.built.database, [anchor], seconds=1).turn(anchor)
    assert path.read_text() == "\n".join(notes)
    dump, key = str(await dumped(keeper.built, tmp_path)), await key_of(keeper.archive)
    arguments = [dump, "--key", key, "--quiet", "--processes", "1", "--checkpoint", str(path)]
    assert await asyncio.to_thread(verify, arguments) == 0
    path.write_text(path.read_text().replace(notes[0].splitlines()[2], base64.b64encode(bytes(32)).decode()))
    assert await asyncio.to_thread(verify, arguments) == 10


async def test_a_rewritten_log_contradicts_the_file(keeper: Keeper, tmp_path: Path) -> None:
    """Whoever owns database and key writes another log of the same size: only what lies outside shows it."""
    path = tmp_path / "heads"
    key = SigningKey(ORIGIN, load_or_create_ed25519(keeper.built.config.keys / LOG_KEY))
    anchor = FileAnchor(path)
    await anchor.keep(size=10, note=await checkpoint_of(keeper.archive))
    await anchor.keep(size=7, note=signed_checkpoint(key, size=7, root=bytes(32)))
    arguments = [str(await dumped(keeper.built, tmp_path)), "--key", await key_of(keeper.archive), "--quiet"]
    assert await asyncio.to_thread(verify, [*arguments, "--checkpoint", str(path)]) == 14


async def test_the_webhook_is_told_each_head_signed_and_again_after_a_failure(keeper: Keeper) -> None:
    receiver = Receiver()
    receiver.answers = [500, 302, 200]
    async with serve(receiver.take) as url:
        anchor = WebhookAnchor(url, SECRET, origin=ORIGIN)
        anchoring = Anchoring(keeper.built.database, [anchor], seconds=1)
        assert [await anchoring.turn(anchor) for _ in range(4)] == [False, False, True, True]
        row = await keeper.owner.fetchrow("SELECT size, failures, error FROM log_anchors")
        assert tuple(row) == (10, 0, None)
        await grow(keeper)
        assert await anchoring.turn(anchor)
    assert [body["data"]["size"] for body in receiver.bodies] == [10, 10, 10, 20]
    assert len(set(receiver.ids)) == 2
    note = receiver.bodies[-1]["data"]["checkpoint"]
    assert open_checkpoint(note, keeper.built.service.app.state.log_key).size == 20


async def test_what_went_wrong_is_kept_and_counted(keeper: Keeper) -> None:
    receiver = Receiver()
    receiver.hangs = True
    async with serve(receiver.take) as url:
        anchor = WebhookAnchor(url, SECRET, origin=ORIGIN, seconds=0.2)
        assert not await Anchoring(keeper.built.database, [anchor], seconds=1).turn(anchor)
    assert not await Anchoring(keeper.built.database, [anchor], seconds=1).turn(anchor)
    row = await keeper.owner.fetchrow("SELECT size, failures, error FROM log_anchors")
    assert (row["size"], row["failures"]) == (None, 2)
    assert "cannot be reached" in row["error"]


async def test_an_anchor_that_hangs_keeps_no_other_waiting(keeper: Keeper, tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.hangs = True
    path = tmp_path / "heads"
    async with serve(receiver.take) as url:
        anchors: list[Anchor] = [WebhookAnchor(url, SECRET, origin=ORIGIN, seconds=30), FileAnchor(path)]
        running = asyncio.create_task(Anchoring(keeper.built.database, anchors, seconds=0.05).run())
        await eventually(path.exists, within_seconds=10)
        note = await grow(keeper)
        await eventually(lambda: path.read_text().endswith(note), within_seconds=10)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_one_process_at_a_time_serves_an_anchor(keeper: Keeper) -> None:
    receiver = Receiver()
    receiver.waits_for = asyncio.Event()
    async with serve(receiver.take) as url:
        anchor = WebhookAnchor(url, SECRET, origin=ORIGIN)
        first = asyncio.create_task(Anchoring(keeper.built.database, [anchor], seconds=1).turn(anchor))
        await eventually(lambda: receiver.arrived == 1)
        async with asyncio.timeout(5):
            assert await Anchoring(keeper.built.database, [anchor], seconds=1).turn(anchor)
        receiver.waits_for.set()
        assert await first
    assert receiver.arrived == 1


async def test_a_head_is_stamped_and_openssl_agrees(keeper: Keeper) -> None:
    async with timestamper() as authority:
        anchor = TimestampAnchor(authority.url, roots_of(authority.roots))
        assert await Anchoring(keeper.built.database, [anchor], seconds=1).turn(anchor)
        row = await keeper.owner.fetchrow("SELECT size, answer FROM log_timestamps")
        assert row["size"] == 10
        (authority.folder / "kept.tsr").write_bytes(row["answer"])
        (authority.folder / "note").write_text(await checkpoint_of(keeper.archive), encoding="utf-8")
        arguments = "ts -verify -data note -in kept.tsr -CAfile root.pem"
        await asyncio.to_thread(authority.openssl, *arguments.split())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await keeper.owner.execute("UPDATE log_timestamps SET answer = ''")


async def test_an_answer_to_something_else_or_of_somebody_else_is_refused(keeper: Keeper) -> None:
    note = await checkpoint_of(keeper.archive)
    async with timestamper() as authority, timestamper() as stranger:
        anchor = TimestampAnchor(authority.url, roots_of(authority.roots))
        await anchor.keep(size=10, note=note)
        authority.spoil = True
        with pytest.raises(AnchorFailed, match="does not hold"):
            await anchor.keep(size=10, note=note)
        with pytest.raises(AnchorFailed, match="does not hold"):
            await TimestampAnchor(authority.url, roots_of(stranger.roots)).keep(size=10, note=note)
        await _answers_nonsense(note, authority)


async def _answers_nonsense(note: str, authority: Timestamper) -> None:
    size = [100_000, 100]

    async def nonsense(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * size.pop())

    async with serve(nonsense) as url:
        for reason in ("cannot be read", "more than"):
            with pytest.raises(AnchorFailed, match=reason):
                await TimestampAnchor(url, roots_of(authority.roots)).keep(size=1, note=note)


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("https://10.0.0.1/hook", True), ("http://10.0.0.1/hook", True), ("https://[::ffff:10.0.0.1]/", True),
        ("https://169.254.169.254/latest", True), ("https://0x7f.1/", True), ("http://127.0.0.1:1/", False),
        ("http://localhost:1/", False),
    ],
)  # fmt: skip
async def test_anchors_call_no_address_that_the_operator_did_not_allow(url: str, refused: bool) -> None:
    for anchor in (WebhookAnchor(url, SECRET, origin=ORIGIN, seconds=5), TimestampAnchor(url, [], seconds=5)):
        with pytest.raises(AnchorFailed) as failed:
            await anchor.keep(size=1, note="note")
        assert ("cannot be reached" not in str(failed.value)) == refused, str(failed.value)


async def test_an_anchor_calls_what_the_operator_allowed() -> None:
    """By a name that does not say that it means this machine."""
    receiver = Receiver()
    async with serve(receiver.take) as url:
        named = url.replace("127.0.0.1", "0x7f.1")
        for allowed, arrives in ((), 0), ((ip_network("127.0.0.0/8"),), 1):
            with pytest.raises(AnchorFailed):
                await TimestampAnchor(named, [], allowed=allowed).keep(size=1, note="note")
            assert receiver.arrived == arrives
        near = (ip_network("127.0.0.0/8"),)
        with pytest.raises(AnchorFailed, match="cannot be reached"):
            await WebhookAnchor(named.replace("http:", "https:"), SECRET, origin=ORIGIN, allowed=near).keep(
                size=1, note="note"
            )


def test_pauses_grow_with_failures_and_end_with_success() -> None:
    assert [pause_seconds(failures, usual=60) for failures in (0, 1, 2, 3)] == [60, 1, 2, 4]
    assert pause_seconds(1000, usual=60) == MOST_RETRY_SECONDS


def test_a_secret_is_24_to_64_bytes_and_never_repeated() -> None:
    assert secret_bytes(f"whsec_{base64.b64encode(SECRET).decode()}") == SECRET
    for text in ("", "whsec_", "whsec_c2hvcnQ=", base64.b64encode(SECRET).decode(), "whsec_%%%"):
        with pytest.raises(ValueError, match="must be whsec_") as caught:
            secret_bytes(text)
        assert len(text) < 7 or text not in str(caught.value)
