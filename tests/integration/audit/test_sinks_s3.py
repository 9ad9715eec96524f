"""Entries as objects in a real S3 server, which verifies every signature."""

import base64
import gzip
import hashlib
import re
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from libs.common.database.engine import driver
from tests.integration.audit.archive import Archive, platform_event
from tests.integration.audit.sinks import Sinks
from tests.integration.audit.test_sinks_send import fill
from tests.support.receivers import certificate
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, S3Server, running_s3

NAME = re.compile(r"(\d{4}/\d\d/\d\d)/(\d{16})-(\d{16})-([0-9a-f]{32})\.jsonl\.gz")


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3Server]:
    """A server with an empty bucket."""
    async with running_s3(tmp_path) as server:
        yield server


async def test_a_batch_is_an_object_of_a_line_for_each_entry(archive: Archive, sinks: Sinks, s3: S3Server) -> None:
    entries = await fill(archive)
    sink = await sinks.create(s3.target())
    await sinks.stream(sinks.streamer(most_object_entries=10))
    assert s3.lines == entries
    found = [NAME.fullmatch(name) for name in s3.objects]
    assert [(int(one[2]), int(one[3])) for one in found if one] == [(0, 9), (10, 19), (20, 24)]
    for one, body in zip(found, s3.objects.values(), strict=True):
        assert one is not None
        assert one[4] == hashlib.sha256(gzip.decompress(body)).hexdigest()[:32]
        assert one[1] == entries[int(one[2])]["created_at"][:10].replace("-", "/")
    done = await sinks.view(sink)
    assert (done["state"], done["cursor"], done["backlog"], done["sent"]) == ("ok", 25, 0, 25)


async def test_each_request_carries_both_digests_of_what_it_brings(
    archive: Archive, sinks: Sinks, s3: S3Server
) -> None:
    await fill(archive)
    await sinks.create(s3.target(gzip=False))
    await sinks.stream()
    [request], [body] = s3.requests, s3.objects.values()
    said = request["headers"]
    assert said["content-md5"] == base64.b64encode(hashlib.md5(body).digest()).decode()
    assert said["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert said["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
    assert (said["content-type"], said["content-length"]) == ("application/x-ndjson", str(len(body)))
    signed = re.search(r"SignedHeaders=([^,]+)", said["authorization"])
    assert signed is not None
    assert {"host", "content-md5", "x-amz-checksum-sha256", "x-amz-date"} <= set(signed[1].split(";"))


async def test_the_same_entries_are_the_same_object(archive: Archive, sinks: Sinks, s3: S3Server) -> None:
    await fill(archive)
    sink = await sinks.create(s3.target())
    await sinks.stream()
    before = s3.objects
    await sinks.change(sink, starts="beginning")
    await sinks.create(s3.target(), name="again")
    await sinks.stream()
    assert len(s3.requests) == 3
    assert s3.objects == before


async def test_other_entries_of_the_same_places_replace_nothing(archive: Archive, sinks: Sinks, s3: S3Server) -> None:
    await fill(archive)
    sink = await sinks.create(s3.target())
    await sinks.stream()
    before = s3.objects
    await sinks.change(sink, starts="beginning", format="ocsf")
    await sinks.stream()
    assert len(s3.objects) == 2
    assert before.items() <= s3.objects.items()


@pytest.mark.parametrize(
    "prefix",
    [
        "logs/",
        "a b/c+d=e&f/",
        "Prüfung/日本/",
        "100%25/",
        "~tilde/(1)!'*,;:@$/",
        "no-slash-",
        "q?x#y/[1]{2}/",
        "..hidden/",
    ],
)
async def test_a_prefix_may_have_any_character(archive: Archive, sinks: Sinks, s3: S3Server, prefix: str) -> None:
    await archive.record(platform_event())
    sink = await sinks.create(s3.target(prefix=prefix))
    await sinks.stream()
    assert (await sinks.view(sink))["last_error"] is None
    [name] = s3.objects
    assert name.startswith(prefix)
    assert NAME.fullmatch(name.removeprefix(prefix))


@pytest.mark.parametrize(
    "wrong",
    ["/logs", "a//b", "a/../b", "./a/", "..", "a\nb", "a\\b", "x" * 513, "ä" * 300, "\u200b"],
)
async def test_a_prefix_that_storage_reads_in_two_ways_is_refused(sinks: Sinks, s3: S3Server, wrong: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        await sinks.create(s3.target(prefix=wrong))


async def test_buckets_may_be_hosts(
    archive: Archive, sinks: Sinks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a name server that answers this machine's address, and is asked once.

    The server expects the bucket in a signed path even so, which Amazon does not: the published examples, whose bucket is
    a host, are held against in `tests/unit/audit/test_objects.py`.
    """
    name, asked, ask = f"{BUCKET}.s3.storage.test", [], socket.getaddrinfo

    def answer(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return ask("127.0.0.1" if host == name else host, *rest, **more)

    await archive.record(platform_event())
    _, pem = certificate(tmp_path, name=name)
    tls = {"cert": pem, "key": (tmp_path / f"{name}.pem").read_text()}
    async with running_s3(tmp_path, tls=tls, verifies=False) as server:
        endpoint = f"https://s3.storage.test:{server.port}"
        sink = await sinks.create(server.target(endpoint=endpoint, addressing="virtual_host", ca=pem, prefix="a b/"))
        monkeypatch.setattr(socket, "getaddrinfo", answer)
        await sinks.stream(turns=1)
        assert (await sinks.view(sink))["last_error"] is None
        assert server.sequences == [0]
        [request] = server.requests
    assert asked.count(name) == 1
    assert request["headers"]["host"] == f"{name}:{server.port}"
    assert request["url"].startswith("/a%20b/")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "403 SignatureDoesNotMatch: the secret does not belong to the access key"),
        ({"access_key_id": "AKNOBODY"}, "403 InvalidAccessKeyId: the storage does not know the access key"),
        ({"bucket": "nowhere"}, "404 NoSuchBucket: there is no such bucket"),
    ],
)
async def test_what_a_person_must_mend_is_told_at_once_and_tried_rarely(
    archive: Archive, sinks: Sinks, s3: S3Server, given: dict[str, Any], says: str
) -> None:
    await fill(archive)
    sink = await sinks.create(s3.target(**given), secret=SECRET.encode() if "bucket" in given else b"wrong")
    await sinks.stream(turns=1)
    failed = await sinks.view(sink)
    assert (failed["state"], failed["cursor"]) == ("failing", 0)
    assert failed["last_error"] == f"the storage answered {says}"
    wait = datetime.fromisoformat(failed["next_try_at"]) - datetime.now(UTC)
    assert timedelta(seconds=290) < wait <= timedelta(seconds=300)
    async with archive.database.transaction() as session:
        await driver(session).execute("UPDATE sinks SET next_try_at = NULL")
    await sinks.stream(turns=1)
    assert (await sinks.view(sink))["failures"] == 2
    [told] = await sinks.told("reeve.sink.failed.v1")
    assert (told["state"], told["error_message"]) == ("failing", failed["last_error"])
    await sinks.change(failed, target=s3.target(), secret=SECRET.encode())
    await sinks.stream()
    assert s3.sequences == list(range(25))
    assert (await sinks.view(sink))["state"] == "ok"


@pytest.mark.parametrize("minutes", [-16, 16])
async def test_a_clock_that_is_wrong_is_named(archive: Archive, sinks: Sinks, s3: S3Server, minutes: int) -> None:
    await fill(archive)
    sink = await sinks.create(s3.target())
    await sinks.stream(sinks.streamer(clock=lambda: datetime.now(UTC) + timedelta(minutes=minutes)), turns=1)
    assert (await sinks.view(sink))["last_error"] == (
        "the storage answered 403 RequestTimeTooSkewed: this machine's clock is more than 15 minutes off the storage's"
    )
    assert s3.objects == {}


async def test_a_test_writes_one_object_the_way_a_batch_is_written(
    archive: Archive, sinks: Sinks, s3: S3Server
) -> None:
    await fill(archive)
    sink = await sinks.create(s3.target(prefix="logs/", encryption="AES256", write_once=True), is_enabled=False)
    asked = (await sinks.ask_test(sink)).data["result"]
    await sinks.stream()
    tested = await sinks.view(sink)
    assert (tested["last_test"]["state"], tested["cursor"]) == ("passed", 0)
    [(name, body)] = s3.objects.items()
    assert name == f"logs/test/{asked['test_id']}.jsonl.gz"
    assert orjson.loads(gzip.decompress(body))["action"] == "sink_test"
    [request] = s3.requests
    assert request["method"] == "PUT"
    assert request["headers"]["x-amz-server-side-encryption"] == "AES256"
    assert request["headers"]["if-none-match"] == "*"


async def test_a_test_says_what_is_wrong(sinks: Sinks, s3: S3Server) -> None:
    sink = await sinks.create(s3.target(bucket="nowhere"), is_enabled=False)
    await sinks.ask_test(sink)
    await sinks.stream()
    assert (await sinks.view(sink))["last_test"]["error"] == (
        "the storage answered 404 NoSuchBucket: there is no such bucket"
    )


async def test_a_batch_waits_until_it_is_full_or_old(archive: Archive, sinks: Sinks, s3: S3Server) -> None:
    await archive.record(*[platform_event() for _ in range(7)])
    sink = await sinks.create(s3.target(batch_seconds=3600))
    await sinks.stream(sinks.streamer(most_object_entries=5), turns=10)
    assert s3.sequences == list(range(5)), "the full one, and not the one that may still grow"
    resting = await sinks.view(sink)
    assert (resting["state"], resting["cursor"]) == ("ok", 5)
    wait = datetime.fromisoformat(resting["next_try_at"]) - datetime.now(UTC)
    assert timedelta(seconds=3500) < wait <= timedelta(seconds=3600)
    await archive.record(*[platform_event() for _ in range(2)])
    await sinks.change(sink, target=s3.target(batch_seconds=0))
    await sinks.stream()
    assert s3.sequences == list(range(9))
    assert len(s3.objects) == 2


async def test_a_full_batch_waits_for_nothing_though_the_log_ends_with_it(
    archive: Archive, sinks: Sinks, s3: S3Server
) -> None:
    await archive.record(*[platform_event() for _ in range(5)])
    await sinks.create(s3.target(batch_seconds=3600))
    await sinks.stream(sinks.streamer(most_object_entries=5), turns=10)
    assert s3.sequences == list(range(5))


async def test_over_tls_the_storage_is_verified_by_the_authority_that_was_given(
    archive: Archive, sinks: Sinks, tmp_path: Path
) -> None:
    await archive.record(platform_event())
    _, pem = certificate(tmp_path)
    _, foreign = certificate(tmp_path, name="other")
    both = (tmp_path / "localhost.pem").read_text()
    async with running_s3(tmp_path, tls={"cert": pem, "key": both}) as server:
        target = server.target(endpoint=f"https://localhost:{server.port}")
        sink = await sinks.create({**target, "ca": foreign})
        await sinks.stream(turns=1)
        failed = await sinks.view(sink)
        assert (failed["state"], failed["last_error"]) == ("failing", "the storage's certificate does not hold")
        await sinks.change(failed, target={**target, "ca": pem})
        await sinks.stream()
        assert server.sequences == [0]


async def test_nothing_secret_is_kept_or_told_in_the_clear(archive: Archive, sinks: Sinks, s3: S3Server) -> None:
    sink = await sinks.create(s3.target())
    assert sink["has_secret"] is True
    assert sink["target"]["access_key_id"] == KEY_ID
    assert sink["target"]["bucket"] == BUCKET
    secret = SECRET
    stored = str(await archive.rows("SELECT * FROM sinks")) + str(await archive.rows("SELECT * FROM outbox"))
    assert secret not in stored
    assert secret not in str(await sinks.view(sink))


@pytest.mark.parametrize("member", ["endpoint", "bucket", "access_key_id"])
async def test_a_secret_is_used_for_its_bucket_and_key_alone(sinks: Sinks, s3: S3Server, member: str) -> None:
    sink = await sinks.create(s3.target())
    other = {"endpoint": "http://127.0.0.1:1", "bucket": "another", "access_key_id": "AKOTHER"}
    refused = await sinks.refusal(sinks.change(sink, target=s3.target(**{member: other[member]})))
    assert (refused.status, refused.code) == (422, "secret_required")
    kept = await sinks.change(sink, target=s3.target(prefix="elsewhere/"))
    assert kept["has_secret"] is True
