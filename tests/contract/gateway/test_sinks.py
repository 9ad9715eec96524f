"""Sinks through the whole platform: set up, tested, streamed to, recorded, and given up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.conftest import SERVICES
from tests.integration.audit.sinks import SECRET
from tests.support import s3_server
from tests.support.eventually import eventually
from tests.support.house import ADMIN, House, open_house
from tests.support.postgres import PlatformDatabases
from tests.support.receivers import webhook_receiver
from tests.support.s3_server import running_s3

SINKS = f"{ADMIN}/audit/sinks"
BUCKET = {"kind": "s3", "endpoint": "https://s3.example.com", "bucket": "logs", "access_key_id": "AK"}


@pytest.fixture(scope="module")
async def near(platform_databases: PlatformDatabases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A platform that may reach this machine."""
    database = await platform_databases.make(*SERVICES)
    folder: Path = tmp_path_factory.mktemp("near")
    opened = await asyncio.to_thread(open_house, database, folder, REEVE_EGRESS_ALLOW="127.0.0.0/8")
    yield opened
    await asyncio.to_thread(opened.stop)
    await platform_databases.give_back(database)


@pytest.fixture(scope="module")
def admin(near: House) -> httpx.Client:
    return near.client()


async def test_entries_stream_to_a_sink_that_was_set_up_and_tested(admin: httpx.Client) -> None:
    async with webhook_receiver(SECRET) as receiver:
        body = {
            "name": "SIEM",
            "target": {"kind": "https", "url": receiver.url},
            "secret": SECRET,
            "starts": "beginning",
        }
        made = await asyncio.to_thread(admin.post, SINKS, json=body)
        assert made.status_code == 201, made.text
        sink = made.json()
        assert "secret" not in sink
        tested = await asyncio.to_thread(admin.post, f"{SINKS}/{sink['id']}/test")
        assert (tested.status_code, tested.json()["state"], tested.json()["error"]) == (200, "passed", None)

        async def caught_up() -> dict[str, Any] | None:
            found = await asyncio.to_thread(admin.get, f"{SINKS}/{sink['id']}")
            view: dict[str, Any] = found.json()
            return view if view["sent"] > 5 and view["state"] == "ok" else None

        await eventually(caught_up)
        actions = [entry["action"] for taken in receiver.taken for entry in taken["data"]["entries"]]
        await eventually(lambda: "create_sink" in str(receiver.taken))
        assert receiver.taken[0]["type"] in ("audit.entries", "audit.sink_test")
        assert actions
        streamed = [
            one for taken in receiver.taken if taken["type"] == "audit.entries" for one in taken["data"]["entries"]
        ]
        sequences = [one["sequence"] for one in streamed]
        assert sequences == list(range(len(sequences)))
        assert SECRET.removeprefix("whsec_") not in str(receiver.taken)


async def test_entries_stream_to_a_bucket_that_was_set_up_and_tested(admin: httpx.Client, tmp_path: Path) -> None:
    async with running_s3(tmp_path) as server:
        body = {"name": "bucket", "target": server.target(prefix="reeve/"), "starts": "beginning"}
        bare = await asyncio.to_thread(admin.post, SINKS, json=body)
        assert (bare.status_code, bare.json()["detail"]["error"]) == (422, "secret_required")
        made = await asyncio.to_thread(admin.post, SINKS, json={**body, "secret": s3_server.SECRET})
        assert made.status_code == 201, made.text
        sink = made.json()
        assert (sink["has_secret"], "secret" in sink, sink["target"]["region"]) == (True, False, "us-east-1")
        tested = await asyncio.to_thread(admin.post, f"{SINKS}/{sink['id']}/test")
        assert (tested.status_code, tested.json()["state"], tested.json()["error"]) == (200, "passed", None)

        async def caught_up() -> bool:
            found = await asyncio.to_thread(admin.get, f"{SINKS}/{sink['id']}")
            return bool(found.json()["sent"] > 3 and found.json()["state"] == "ok")

        await eventually(caught_up)
        streamed = [line for line in server.lines if line["action"] != "sink_test"]
        assert [line["sequence"] for line in streamed] == list(range(len(streamed)))
        assert s3_server.SECRET not in str(server.lines) + made.text
        deleted = await asyncio.to_thread(admin.delete, f"{SINKS}/{sink['id']}")
        assert deleted.status_code == 204


async def test_a_sink_is_changed_and_deleted_by_its_version(admin: httpx.Client) -> None:
    body: dict[str, Any] = {
        "name": "edited",
        "target": {"kind": "syslog", "host": "siem.example.com"},
        "is_enabled": False,
    }

    def edit() -> None:
        made = admin.post(SINKS, json=body)
        path = f"{SINKS}/{made.json()['id']}"
        viewed = admin.get(path)
        assert viewed.headers["etag"] == made.headers["etag"] == '"1"'
        assert {**viewed.json(), "backlog": 0} == {**made.json(), "backlog": 0}
        changed = admin.put(path, json={**body, "format": "ocsf"}, headers={"If-Match": '"1"'})
        assert (changed.status_code, changed.json()["format"], changed.headers["etag"]) == (200, "ocsf", '"2"')
        assert admin.put(path, json=body, headers={"If-Match": '"1"'}).status_code == 412
        assert admin.delete(path, headers={"If-Match": '"1"'}).status_code == 412
        assert made.json()["id"] in [one["id"] for one in admin.get(SINKS).json()["sinks"]]
        assert admin.delete(path).status_code == 204
        gone = admin.post(f"{path}/test")
        assert (gone.status_code, gone.json()["detail"]["error"]) == (404, "sink_not_found")

    await asyncio.to_thread(edit)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"target": {"kind": "smtp"}}, ["body", "target"]),
        ({"target": {"kind": "syslog", "host": "a b"}}, ["body", "target", "syslog", "host"]),
        ({"target": {"kind": "syslog", "host": "a", "port": 0}}, ["body", "target", "syslog", "port"]),
        ({"target": {"kind": "https", "url": "ftp://x/"}}, ["body", "target", "https", "url"]),
        ({"target": {"kind": "https", "url": "https://user:pass@x/"}}, ["body", "target", "https", "url"]),
        ({"secret": "whsec_short"}, ["body", "secret"]),
        ({"target": {**BUCKET, "bucket": "A"}}, ["body", "target", "s3", "bucket"]),
        ({"target": {**BUCKET, "prefix": "a//b"}}, ["body", "target", "s3", "prefix"]),
        ({"target": {**BUCKET, "kms_key_id": "k"}}, ["body", "target", "s3"]),
        ({"target": BUCKET, "secret": "two words"}, ["body", "secret"]),
        ({"target": BUCKET, "secret": ""}, ["body", "secret"]),
        ({"format": "cef"}, ["body", "format"]),
        ({"filters": {"severity": "high"}}, ["body", "filters", "severity", 0]),
        ({"starts": "yesterday"}, ["body", "starts"]),
    ],
)
async def test_what_is_wrong_with_a_sink_is_named(admin: httpx.Client, given: dict[str, Any], place: list[Any]) -> None:
    body = {"name": "x", "target": {"kind": "syslog", "host": "siem.example.com"}, **given}
    refused = await asyncio.to_thread(admin.post, SINKS, json=body)
    assert refused.status_code == 422, refused.text
    assert refused.json()["detail"]["errors"][0]["loc"] == place
    assert "whsec_short" not in refused.text
    assert "two words" not in refused.text


async def test_only_who_may_write_roles_sets_up_sinks(near: House) -> None:
    def ask() -> list[int]:
        with near.client("admin") as other:
            return [other.get(SINKS).status_code, other.post(SINKS, json={}).status_code]

    assert await asyncio.to_thread(ask) == [403, 403]
