"""Buckets with rights, object lock and preconditions: on a server where botocore checks the signatures."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.audit.archive import Archive, platform_event
from tests.integration.audit.sinks import Sinks
from tests.support.s3_rights import CLOSED, S3Rights, running_s3_rights


@pytest.fixture(scope="module")
async def s3() -> AsyncIterator[S3Rights]:
    """One server for all tests here, which use prefixes of their own."""
    async with running_s3_rights() as server:
        yield server


@pytest.fixture(autouse=True)
async def log(archive: Archive) -> None:
    """A log of three entries."""
    await archive.record(*[platform_event() for _ in range(3)])


async def test_objects_are_locked_and_encrypted_as_asked(sinks: Sinks, s3: S3Rights) -> None:
    target = s3.target(prefix="locked/", retain_days=30, retain_mode="compliance", encryption="AES256")
    await sinks.create(target, secret=s3.secret.encode())
    await sinks.stream()
    [found] = [one for one in await s3.versions() if one["key"].startswith("locked/")]
    assert (found["ObjectLockMode"], found["ServerSideEncryption"]) == ("COMPLIANCE", "AES256")
    left = found["ObjectLockRetainUntilDate"] - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    assert found["ContentType"] == "application/gzip"


async def test_what_is_there_already_is_confirmed_and_not_written_again(sinks: Sinks, s3: S3Rights) -> None:
    target = s3.target(prefix="once/", write_once=True)
    sink = await sinks.create(target, secret=s3.secret.encode())
    await sinks.stream()
    await sinks.change(sink, starts="beginning")
    await sinks.stream()
    found = await sinks.view(sink)
    assert (found["state"], found["cursor"], found["sent"], found["last_error"]) == ("ok", 3, 6, None)
    assert len([one for one in await s3.versions() if one["key"].startswith("once/")]) == 1


async def test_without_that_it_is_written_again(sinks: Sinks, s3: S3Rights) -> None:
    sink = await sinks.create(s3.target(prefix="again/"), secret=s3.secret.encode())
    await sinks.stream()
    await sinks.change(sink, starts="beginning")
    await sinks.stream()
    found = [one for one in await s3.versions() if one["key"].startswith("again/")]
    assert len(found) == 2
    assert len({(one["key"], one["ETag"]) for one in found}) == 1


@pytest.mark.parametrize("given", [{"bucket": CLOSED}, {"bucket": "nowhere"}])
async def test_a_right_that_is_missing_is_named(sinks: Sinks, s3: S3Rights, given: dict[str, str]) -> None:
    sink = await sinks.create(s3.target(**given), secret=s3.secret.encode())
    await sinks.stream(turns=1)
    found = await sinks.view(sink)
    assert (found["state"], found["last_error"]) == (
        "failing", "the storage answered 403 AccessDenied: the access key may not do this in the bucket",
    )  # fmt: skip


async def test_botocore_refuses_another_secret(sinks: Sinks, s3: S3Rights) -> None:
    sink = await sinks.create(s3.target(), secret=b"wrong")
    await sinks.stream(turns=1)
    assert "SignatureDoesNotMatch" in (await sinks.view(sink))["last_error"]
