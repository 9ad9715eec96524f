"""Archives and anchors in a bucket: nothing goes before its archive was read back, and whoever is killed is followed by another."""

import asyncio
import base64
import gzip
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from aiohttp import web

from libs.common.errors import ConfigError, Unavailable
from libs.common.events.sinks import S3Target
from services.audit.anchors.anchor import AnchorFailed
from services.audit.anchors.anchoring import Anchoring
from services.audit.anchors.bucket import BucketAnchor
from services.audit.app import _anchors, _archive_place
from services.audit.archives.bucket import ArchiveBucket
from services.audit.archives.folder import ArchiveFolder
from services.audit.archives.place import ArchiveRefused
from services.audit.config import Config
from services.audit.objects.bucket import Bucket
from services.audit.objects.storage import ObjectStorage
from services.audit.retention import Retention
from tests.integration.audit.archive import Archive, Built, platform_event, request_recorded
from tests.integration.audit.keeping import DAYS, Keeper
from tests.integration.audit.test_retention_kill import run_process
from tests.integration.audit.test_verifier import checkpoint_of, key_of
from tests.support.audit_verdicts import first_of_each, verdict_on
from tests.support.receivers import serve
from tests.support.s3_rights import S3Rights, running_s3_rights
from tests.support.s3_server import SECRET, S3Server, running_s3
from tests.support.stem import Stem

OLD = 300


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3Server]:
    """A server with an empty bucket."""
    (tmp_path / "s3").mkdir()
    async with running_s3(tmp_path / "s3") as server:
        yield server


@pytest.fixture(scope="module")
async def rights() -> AsyncIterator[S3Rights]:
    """A server with object lock and preconditions."""
    async with running_s3_rights() as server:
        yield server


@pytest.fixture
async def storage() -> AsyncIterator[ObjectStorage]:
    """What an operator's buckets are reached by."""
    made = ObjectStorage(trusts_loopback=True)
    yield made
    await made.close()


@pytest.fixture
async def keeper(built: Built, archive: Archive, owner: asyncpg.Connection) -> Keeper:
    """A log of 300 old entries under a signed head, and 10 of today."""
    found = Keeper(built, archive, owner)
    await archive.record(*[request_recorded(producerseq=number + 1) for number in range(OLD)])
    await found.seal()
    await found.age(days=500)
    await archive.record(*[platform_event() for _ in range(10)])
    await found.seal()
    return found


def bucket_of(storage: ObjectStorage, target: dict[str, Any], secret: str = SECRET) -> Bucket:
    """A bucket as the service has it."""
    return Bucket(storage, S3Target.model_validate(target), secret)


def retention_in(keeper: Keeper, bucket: Bucket, *, seconds: float = 30.0) -> Retention:
    """A retention whose archives are kept there."""
    archivist = keeper.archiving_in(ArchiveBucket(bucket, seconds=seconds))
    return Retention(keeper.built.database, archivist, days=DAYS)


async def test_an_archive_is_kept_in_the_bucket_before_anything_goes(
    keeper: Keeper, s3: S3Server, storage: ObjectStorage, tmp_path: Path
) -> None:
    done = await keeper.turns(retention_in(keeper, bucket_of(storage, s3.target(prefix="old/"))))
    assert (done.archived, done.pruned) == (OLD, OLD)
    name, sha256 = await keeper.owner.fetchrow("SELECT file, encode(sha256, 'hex') FROM log_archives")
    assert list(s3.objects) == [f"old/{name}", f"old/{name}.manifest.jws"]
    assert name == f"reeve-audit-0-{OLD}-{sha256[:32]}.jsonl.gz"
    path = tmp_path / name
    path.write_bytes(s3.objects[f"old/{name}"])
    verdict = verdict_on(path, await key_of(keeper.archive))
    assert (set(first_of_each(verdict)) <= {15}, verdict.entries) == (True, OLD)
    signed = s3.objects[f"old/{name}.manifest.jws"].split(b".")[1]
    said = json.loads(base64.urlsafe_b64decode(signed + b"=" * (-len(signed) % 4)))
    assert said["file"] == {"name": name, "bytes": len(path.read_bytes()), "sha256": sha256}
    assert list(keeper.built.config.archives.iterdir()) == [], "nothing of it stays here"


@pytest.mark.parametrize("damage", ["changed", "gone", "cut"])
async def test_nothing_goes_while_the_bucket_does_not_have_what_was_verified(
    keeper: Keeper, s3: S3Server, storage: ObjectStorage, damage: str
) -> None:
    retention = retention_in(keeper, bucket_of(storage, s3.target()))
    await retention.turn()
    await keeper.deliver()
    [path] = s3.folder.rglob("*.gz._S3rver_object")
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] + (b"" if damage == "cut" else bytes([content[-1] ^ 1])))
    with pytest.raises(ArchiveRefused, match="NoSuchKey" if damage == "gone" else "is not the file that was verified"):
        await retention.turn()
    assert (await keeper.left())[0] == 0
    path.write_bytes(content)
    assert (await keeper.turns(retention)).pruned == OLD


@pytest.mark.parametrize("loses", ["archive", "manifest"])
async def test_what_the_storage_wrote_down_wrongly_is_found_by_reading_it_back(
    keeper: Keeper, s3: S3Server, storage: ObjectStorage, loses: str
) -> None:
    """The storage confirms, and keeps something else."""

    async def answer(request: web.Request) -> web.Response:
        is_lost = request.path.endswith(".jws") == (loses == "manifest")
        if request.method == "PUT":
            kept[request.path] = await request.read()
            return web.Response()
        return web.Response(body=kept[request.path][1:] if is_lost else kept[request.path])

    kept: dict[str, bytes] = {}
    async with serve(answer) as url:
        retention = retention_in(keeper, bucket_of(storage, s3.target(endpoint=url)))
        with pytest.raises(ArchiveRefused, match="is not in the storage as it was written"):
            await retention.turn()
    assert await keeper.owner.fetchval("SELECT count(*) FROM log_archives") == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bucket": "nowhere"}, "404 NoSuchBucket"),
        ({"access_key_id": "AKNOBODY"}, "InvalidAccessKeyId"),
        ({"endpoint": "http://127.0.0.1:1"}, "did not answer"),
        ({"endpoint": "https://10.0.0.1"}, "REEVE_EGRESS_ALLOW"),
    ],
)
async def test_without_the_bucket_nothing_is_archived(
    keeper: Keeper, storage: ObjectStorage, s3: S3Server, given: dict[str, Any], says: str
) -> None:
    retention = retention_in(keeper, bucket_of(storage, s3.target(**given)))
    # What nobody has to mend is tried again by itself.
    kind = Unavailable if says == "did not answer" else ArchiveRefused
    with pytest.raises(kind, match=says) as refused:
        await retention.turn()
    assert SECRET not in str(refused.value)
    assert await keeper.owner.fetchval("SELECT count(*) FROM log_archives") == 0
    assert (await keeper.left())[0] == 0


async def test_a_bucket_that_hangs_is_given_up_and_asked_again(
    keeper: Keeper, storage: ObjectStorage, s3: S3Server
) -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with serve(hang) as url:
        with pytest.raises(Unavailable, match=r"took more than 0\.5 s"):
            await retention_in(keeper, bucket_of(storage, s3.target(endpoint=url)), seconds=0.5).turn()
    assert (await keeper.turns(retention_in(keeper, bucket_of(storage, s3.target())))).pruned == OLD


@pytest.mark.parametrize(
    "crash_at", ["retention.after_copy:1", "retention.after_verify:1", "retention.after_archive:1"]
)
async def test_whoever_is_killed_is_followed_by_another_that_ends_it(
    stem: Stem, keeper: Keeper, storage: ObjectStorage, s3: S3Server, crash_at: str
) -> None:
    target = orjson.dumps(s3.target()).decode()
    assert await run_process(stem, keeper, crash_at=crash_at, target=target) == -signal.SIGKILL
    await keeper.deliver()
    done = await keeper.turns(retention_in(keeper, bucket_of(storage, s3.target())))
    assert done.waiting == 0
    assert (await keeper.left())[0] == OLD
    files = [row["file"] for row in await keeper.owner.fetch("SELECT file FROM log_archives ORDER BY first")]
    assert set(files) <= set(s3.objects)
    places = [
        json.loads(line)["index"] for file in files for line in gzip.decompress(s3.objects[file]).splitlines()[1:]
    ]
    assert places == list(range(OLD))


async def test_a_locked_bucket_takes_what_it_has_already(
    keeper: Keeper, storage: ObjectStorage, rights: S3Rights, tmp_path: Path
) -> None:
    """An attempt that was cut off behind the upload left the very object; what is not that is refused."""
    target = rights.target(prefix="archives/", write_once=True, retain_days=1)
    place = ArchiveBucket(bucket_of(storage, target, rights.secret))
    path = tmp_path / "file"
    for _ in range(2):
        path.write_bytes(b"content")
        content = {
            "size": 7,
            "sha256": bytes.fromhex("ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"),
        }
        await place.keep(path, "one", signature="a.b.c", **content)  # type: ignore[arg-type]
    found = [one for one in await rights.versions() if one["key"].startswith("archives/")]
    assert [(one["key"], one["ObjectLockMode"]) for one in found] == [
        ("archives/one", "GOVERNANCE"), ("archives/one.manifest.jws", "GOVERNANCE"),
    ]  # fmt: skip
    path.write_bytes(b"content")
    with pytest.raises(ArchiveRefused, match=r"one.manifest.jws is not in the storage as it was written"):
        await place.keep(path, "one", signature="another", **content)  # type: ignore[arg-type]
    assert path.exists()
    path.write_bytes(b"other")
    with pytest.raises(ArchiveRefused, match="changed after it was verified"):
        await place.keep(path, "one", signature="a.b.c", **content)  # type: ignore[arg-type]


async def test_each_head_is_an_object_that_nobody_rewrites(
    keeper: Keeper, storage: ObjectStorage, rights: S3Rights
) -> None:
    target = rights.target(prefix="heads/", write_once=True, retain_days=3650, retain_mode="compliance")
    anchor = BucketAnchor(bucket_of(storage, target, rights.secret))
    anchoring = Anchoring(keeper.built.database, [anchor], seconds=1)
    assert await anchoring.turn(anchor)
    await keeper.owner.execute("UPDATE log_anchors SET size = 1")
    assert await anchoring.turn(anchor), "after a crash the same head comes again"
    note = await checkpoint_of(keeper.archive)
    [found] = [one for one in await rights.versions() if one["key"].startswith("heads/")]
    assert (found["key"], found["ObjectLockMode"]) == (f"heads/checkpoint-{OLD + 10:016d}.txt", "COMPLIANCE")
    assert found["ContentLength"] == len(note.encode())
    with pytest.raises(AnchorFailed, match="holds another head"):
        await anchor.keep(size=OLD + 10, note=f"{note}\n")


async def test_what_is_wrong_with_a_bucket_is_said_of_its_anchor(
    keeper: Keeper, storage: ObjectStorage, s3: S3Server
) -> None:
    anchor = BucketAnchor(bucket_of(storage, s3.target(), "wrong"))
    assert not await Anchoring(keeper.built.database, [anchor], seconds=1).turn(anchor)
    row = await keeper.owner.fetchrow("SELECT anchor, size, failures, error FROM log_anchors")
    assert tuple(row)[:3] == ("bucket", None, 1)
    assert row["error"].startswith("the storage answered 403 SignatureDoesNotMatch")
    anchor = BucketAnchor(bucket_of(storage, s3.target()))
    assert await Anchoring(keeper.built.database, [anchor], seconds=1).turn(anchor)
    assert s3.objects == {f"checkpoint-{OLD + 10:016d}.txt": (await checkpoint_of(keeper.archive)).encode()}


async def test_an_operator_configures_both_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, storage: ObjectStorage
) -> None:
    assert isinstance(_archive_place(Config.load(), storage), ArchiveFolder)
    assert _anchors(Config.load(), storage) == []
    target = {"kind": "s3", "endpoint": "https://s3.example.com", "bucket": "old", "access_key_id": "AK"}
    for name in ("ARCHIVE", "ANCHOR"):
        monkeypatch.setenv(f"REEVE_AUDIT_{name}_BUCKET", json.dumps(target))
        with pytest.raises(ConfigError, match=f"REEVE_AUDIT_{name}_BUCKET_SECRET"):
            Config.load()
        monkeypatch.setenv(f"REEVE_AUDIT_{name}_BUCKET_SECRET", SECRET)
    config = Config.load()
    assert isinstance(_archive_place(config, storage), ArchiveBucket)
    assert [anchor.name for anchor in _anchors(config, storage)] == ["bucket"]
    assert SECRET not in repr(config)
    monkeypatch.setenv("REEVE_AUDIT_ARCHIVE_BUCKET", json.dumps({**target, "secret": "my own secret"}))
    with pytest.raises(ConfigError, match="REEVE_AUDIT_ARCHIVE_BUCKET: secret:") as refused:
        Config.load()
    assert "my own secret" not in str(refused.value)
