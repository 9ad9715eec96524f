"""Sinks set up, changed and given up: what is refused, what is kept of a secret, and who is answered."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from libs.common.database.engine import driver
from libs.common.egress.destinations import Network
from libs.common.events.sinks import CreateSink, SinkDefinition
from libs.common.sealing import seal
from services.audit.commands.sinks import MOST_SINKS
from tests.integration.audit.archive import ADMIN, Archive, Built, platform_event
from tests.integration.audit.sinks import PLAIN, SECRET, Sinks, https_of
from tests.support.receivers import webhook_receiver

PUBLIC = {"kind": "https", "url": "https://siem.example.com/reeve"}
BUCKET = {"kind": "s3", "endpoint": "https://s3.example.com", "bucket": "logs", "access_key_id": "AK"}
SYSLOG = {"kind": "syslog", "host": "siem.example.com", "port": 6514, "tls": True, "ca": None}


async def test_a_sink_is_answered_without_its_secret(sinks: Sinks, archive: Archive) -> None:
    await archive.record(platform_event())
    made = await sinks.create(PUBLIC, filters={"action": "delete_user"})
    assert made["filters"] == {"action": ["delete_user"]}
    assert (made["state"], made["cursor"], made["backlog"], made["has_secret"]) == ("ok", 0, 1, True)
    assert (made["target"], made["created_by"], made["version"]) == (PUBLIC, ADMIN, 1)
    listed = await archive.get("/sinks", permission="roles:write")
    assert listed.json()["sinks"] == [made] == [await sinks.view(made)]
    row = (await archive.rows("SELECT secret FROM sinks"))[0]["secret"]
    assert PLAIN not in row
    stored = str(await archive.rows("SELECT * FROM sinks")) + str(await archive.rows("SELECT * FROM outbox"))
    assert SECRET.removeprefix("whsec_") not in stored + listed.text
    assert PLAIN.decode() not in stored + listed.text


async def test_a_secret_is_used_for_its_url_alone(sinks: Sinks, archive: Archive) -> None:
    await archive.record(platform_event())
    async with webhook_receiver(SECRET) as receiver, webhook_receiver(SECRET) as elsewhere:
        sink = await sinks.create(https_of(receiver.url))
        refused = await sinks.refusal(sinks.change(sink, target=https_of(elsewhere.url)))
        assert (refused.status, refused.code) == (422, "secret_required")
        kept = await sinks.change(sink, name="renamed")
        assert (kept["name"], kept["version"], kept["has_secret"]) == ("renamed", 2, True)
        async with archive.database.transaction() as session:
            await driver(session).execute(
                "UPDATE sinks SET target = jsonb_set(target, '{url}', to_jsonb($1::text))", elsewhere.url
            )
        await sinks.stream(turns=1)
        assert "secret cannot be opened" in (await sinks.view(sink))["last_error"]
        assert receiver.ids == elsewhere.ids == []


async def test_a_changed_sink_begins_a_batch_of_its_own_and_forgets_its_failures(
    sinks: Sinks, archive: Archive
) -> None:
    await archive.record(*[platform_event(kind="com.shop.a.v1"), platform_event(kind="com.shop.b.v1")])
    async with webhook_receiver(SECRET) as receiver:
        url = receiver.url
        sink = await sinks.create(https_of(url))
        receiver.answers = ["cut"]
        await sinks.stream(turns=1)
        failed = await sinks.view(sink)
        assert (failed["state"], failed["failures"]) == ("retrying", 1)
        changed = await sinks.change(sink, filters={"action": "com.shop.b.v1"})
        assert (changed["state"], changed["failures"], changed["last_error"]) == ("ok", 0, None)
        await sinks.stream()
    assert receiver.sequences == [1]
    assert len(set(receiver.ids)) == 2, "other entries for the same places bear another id"


@pytest.mark.parametrize(
    ("target", "given", "code"),
    [
        ({"kind": "https", "url": "https://127.0.0.1/x"}, {}, "destination_not_allowed"),
        ({"kind": "https", "url": "https://[::ffff:10.0.0.1]/x"}, {}, "destination_not_allowed"),
        ({"kind": "https", "url": "https://169.254.169.254/latest"}, {}, "destination_not_allowed"),
        ({"kind": "https", "url": "http://siem.example.com/x"}, {}, "destination_not_allowed"),
        ({"kind": "https", "url": "http://localhost/x"}, {}, "destination_not_allowed"),
        ({**SYSLOG, "host": "10.1.2.3"}, {}, "destination_not_allowed"),
        ({**SYSLOG, "host": "::1"}, {}, "destination_not_allowed"),
        ({**BUCKET, "endpoint": "https://10.1.2.3:9000"}, {}, "destination_not_allowed"),
        ({**BUCKET, "endpoint": "http://localhost:9000"}, {}, "destination_not_allowed"),
        ({**BUCKET, "endpoint": "https://[fd00::1]"}, {}, "destination_not_allowed"),
        ({**BUCKET, "ca": "no certificate"}, {}, "invalid_certificate"),
        (BUCKET, {"secret": None}, "secret_required"),
        (PUBLIC, {"secret": None}, "secret_required"),
        (SYSLOG, {"secret": PLAIN}, "secret_not_used"),
        ({**SYSLOG, "ca": "no certificate"}, {}, "invalid_certificate"),
        (PUBLIC, {"filters": {"outcome": "maybe"}}, "validation_error"),
    ],
)
async def test_what_cannot_be_is_refused(
    built: Built, archive: Archive, target: dict[str, Any], given: dict[str, Any], code: str
) -> None:
    refused = await Sinks(built, archive, allowed=()).refusal(Sinks(built, archive, allowed=()).create(target, **given))
    assert (refused.status, refused.code) == (422, code)
    assert await archive.value("SELECT count(*) FROM sinks") == 0


async def test_a_secret_that_was_sealed_to_another_is_refused(sinks: Sinks) -> None:
    data = CreateSink(
        definition=SinkDefinition(name="x", target=PUBLIC), sealed_secret=seal(bytes(31) + b"\x09", PLAIN)
    )
    assert (await sinks.refusal(sinks.apply(data))).code == "invalid_secret"


@pytest.mark.parametrize("allowed", [(), (ip_network("10.0.0.0/8"),)])
async def test_a_name_that_leads_to_a_forbidden_address_is_not_called(
    built: Built, archive: Archive, allowed: tuple[Network, ...]
) -> None:
    made = Sinks(built, archive, allowed=allowed)
    await archive.record(platform_event())
    async with webhook_receiver(SECRET, host="localhost") as receiver:
        url = receiver.url.replace("http:", "https:")
        hook = await made.create({"kind": "https", "url": url})
        syslog = await made.create({**SYSLOG, "host": "localhost"}, name="syslog")
        bucket = {**BUCKET, "endpoint": url.removesuffix("/hook"), "batch_seconds": 0}
        s3 = await made.create(bucket, name="s3")
        streamer = made.streamer()
        for sink_id in await streamer.due():
            assert not await streamer.turn(sink_id)
        assert receiver.ids == []
    for sink in (hook, syslog, s3):
        found = await made.view(sink)
        assert "REEVE_EGRESS_ALLOW" in found["last_error"]
    await made.close()


async def test_a_version_that_is_no_longer_changes_and_deletes_nothing(sinks: Sinks) -> None:
    sink = await sinks.create(SYSLOG)
    changed = await sinks.change(sink, expected_version=1, is_enabled=False)
    assert (changed["version"], changed["state"]) == (2, "disabled")
    assert (await sinks.refusal(sinks.change(sink, expected_version=1))).status == 412
    assert (await sinks.refusal(sinks.delete(sink, expected_version=1))).status == 412
    assert (await sinks.delete(sink, expected_version=2)).data["status"] == 204
    for gone in (sinks.delete(sink), sinks.change(sink), sinks.ask_test(sink)):
        assert (await sinks.refusal(gone)).code == "sink_not_found"


async def test_what_changed_is_told_and_of_a_secret_only_that_it_did(sinks: Sinks) -> None:
    await sinks.create(PUBLIC)
    made = {"id": (await sinks.create({**PUBLIC, "url": "https://b.example.com/"}, name="b"))["id"], "name": "b",
            "target": {**PUBLIC, "url": "https://b.example.com/"}, "format": "json", "filters": {}, "is_enabled": True}  # fmt: skip
    data = CreateSink(definition=SinkDefinition(name="c", target=PUBLIC), sealed_secret=sinks.sealed(PLAIN))
    told = (await sinks.apply(data)).data["changes"]
    assert told["secret"] == {"new": "[redacted]"}
    assert told["target"] == {"new": PUBLIC}
    again = await sinks.change(made, secret=PLAIN, format="ocsf")
    assert again["format"] == "ocsf"


async def test_names_are_taken_once_and_there_are_so_many_and_no_more_even_at_once(sinks: Sinks) -> None:
    await sinks.create(SYSLOG)
    other = await sinks.create(SYSLOG, name="other")
    assert (await sinks.refusal(sinks.create(SYSLOG))).code == "sink_exists"
    assert (await sinks.refusal(sinks.change(other, name="SIEM"))).code == "sink_exists"
    for number in range(MOST_SINKS - 4):
        await sinks.create(SYSLOG, name=f"sink {number}")
    made = await asyncio.gather(*[sinks.create(SYSLOG, name=f"last {n}") for n in range(5)], return_exceptions=True)
    assert sum(isinstance(one, dict) for one in made) == 2
    assert {getattr(one, "code", None) for one in made if not isinstance(one, dict)} == {"too_many_sinks"}


async def test_only_the_gateway_is_answered_and_only_for_those_who_may(sinks: Sinks, archive: Archive) -> None:
    sink = await sinks.create(SYSLOG)
    for target in ("/sinks", f"/sinks/{sink['id']}"):
        assert (await archive.client.get(f"/internal/audit{target}")).status_code == 401
        assert (await archive.get(target, permission="audit:read")).status_code == 401
    missing = await archive.get(f"/sinks/{ADMIN}", permission="roles:write")
    assert (missing.status_code, missing.json()["detail"]["error"]) == (404, "sink_not_found")
