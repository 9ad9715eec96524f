"""The main path through four processes: what an administrator does is stored, recorded and announced."""

import httpx
import orjson

from libs.common.ids import new_id
from tests.demo.administrator import ADMIN, Administrator
from tests.e2e.steps import (
    a_setting,
    client_headers,
    entries,
    import_failed,
    listening,
    notifications_of,
    put,
)
from tests.support.eventually import eventually
from tests.support.platforms import SECOND_GATEWAY
from tests.support.processes import Platform
from tests.support.wire import wire_of


async def test_a_change_is_applied_stored_recorded_and_seen_live(admin: Administrator, http: httpx.AsyncClient) -> None:
    key, request_id = await a_setting(admin), new_id()
    async with listening(http, admin.headers, "settings") as live:
        answer = await put(admin, http, key, 2, x_request_id=request_id)
        assert answer.status_code == 200
        assert (answer.headers["etag"], answer.json()["value"], answer.json()["version"]) == ('"2"', 2, 2)
        told = await live.hears(
            lambda one: one.data["type"] == "reeve.setting.changed.v1" and key in one.data["subject"]
        )
        assert told.data["data"]["changes"]["value"] == {"old": 1, "new": 2}
    assert (await admin.get(f"/settings/{key}"))["value"] == 2
    history = (await admin.get(f"/settings/{key}/history"))["history"]
    assert [(one["version"], one["value"]) for one in history] == [(2, 2), (1, 1)]
    (entry,) = await entries(admin, 1, action="update_setting", target_id=key)
    me = await admin.get("/auth/me")
    assert (entry["admin_user_id"], entry["admin_username"], entry["actor_type"]) == (me["id"], me["email"], "admin")
    assert (entry["ip_address"], entry["user_agent"], entry["request_id"]) == ("127.0.0.1", "e2e/1", request_id)
    assert (entry["target_type"], entry["outcome"]) == ("setting", "success")
    assert entry["changes"]["value"] == {"old": 1, "new": 2}
    assert entry["operation_id"] == answer.headers["x-operation-id"]


async def test_a_stale_version_is_refused_and_the_refusal_recorded(
    admin: Administrator, http: httpx.AsyncClient
) -> None:
    key = await a_setting(admin)
    assert (await put(admin, http, key, 2, if_match='"1"')).status_code == 200
    stale = await put(admin, http, key, 3, if_match='"1"')
    assert (stale.status_code, stale.json()["detail"]["error"]) == (412, "version_conflict")
    assert (await admin.get(f"/settings/{key}"))["value"] == 2
    await entries(admin, 1, action="update_setting", target_id=key, outcome="failure")


async def test_an_asynchronous_change_is_accepted_and_then_completed(
    admin: Administrator, http: httpx.AsyncClient
) -> None:
    key = await a_setting(admin)
    answer = await put(admin, http, key, 7, prefer="respond-async")
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    location = answer.headers["location"]
    assert location == f"{ADMIN}/operations/{answer.json()['operation_id']}"

    async def completed() -> bool:
        operation = (await http.get(location, headers=admin.headers)).json()
        return bool(operation["status"] == "completed" and operation["result"]["value"] == 7)

    await eventually(completed)
    assert (await admin.get(f"/settings/{key}"))["value"] == 7


async def test_a_repeated_post_with_its_key_has_one_effect_and_one_answer(
    admin: Administrator, http: httpx.AsyncClient
) -> None:
    key, headers = f"e2e.i{new_id()[-12:]}", {**admin.headers, "idempotency-key": new_id()}
    body = {"key": key, "value": 1, "value_type": "integer", "category": "e2e"}
    first = await http.post(f"{ADMIN}/settings", json=body, headers=headers)
    again = await http.post(f"{ADMIN}/settings", json=body, headers=headers)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    other = await http.post(f"{ADMIN}/settings", json={**body, "value": 2}, headers=headers)
    assert (other.status_code, other.json()["detail"]["error"]) == (422, "idempotency_key_reused")
    await entries(admin, 1, action="create_setting", target_id=key, outcome="success")


async def test_an_event_over_http_is_recorded_announced_and_seen_live(
    admin: Administrator, http: httpx.AsyncClient
) -> None:
    mark = new_id()
    async with listening(http, admin.headers, "notifications") as live:
        answer = await http.post("/api/v1/events", json=import_failed(mark), headers=await client_headers(http))
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
        await live.hears(lambda one: one.data["data"]["title"].endswith(mark))
    (told,) = await notifications_of(admin, mark)
    assert (told["type"], told["priority"], told["is_read"]) == ("import_failure", "high", False)
    (entry,) = await entries(admin, 1, action="platform.import.failed.v1", target_id=mark)
    assert (entry["source"], entry["outcome"], entry["actor_type"]) == ("/platform/shop", "failure", "client")


async def test_an_event_over_amqp_is_recorded_and_announced(platform: Platform, admin: Administrator) -> None:
    mark = new_id()
    async with wire_of(platform) as wire:
        await wire.send(
            orjson.dumps(import_failed(mark)),
            routing_key="platform.import.failed.v1",
            content_type="application/cloudevents+json",
        )
    await entries(admin, 1, action="platform.import.failed.v1", target_id=mark)

    async def told() -> bool:
        return len(await notifications_of(admin, mark)) == 1

    await eventually(told)


async def test_a_stream_resumes_where_it_was_on_either_gateway(
    platform: Platform, admin: Administrator, http: httpx.AsyncClient
) -> None:
    key = await a_setting(admin)

    async with httpx.AsyncClient(base_url=platform.programs[SECOND_GATEWAY].url, timeout=15) as other:
        async with (
            listening(http, admin.headers, "settings") as live,
            listening(other, admin.headers, "settings") as elsewhere,
        ):
            await put(admin, http, key, 1001)
            seen = await live.hears(lambda one: key in one.data["subject"])
            await elsewhere.hears(lambda one: key in one.data["subject"])
        for number in (1002, 1003):
            await put(admin, http, key, number)
        for gateway in (http, other):
            async with listening(gateway, admin.headers, "settings", after=seen.id) as live:
                await put(admin, http, key, 1004)
                await live.hears(lambda one: one.data["data"]["changes"]["value"]["new"] == 1004)
                news = [
                    one.data["data"]["changes"]["value"]["new"] for one in live.frames if key in one.data["subject"]
                ]
                assert "gap" not in {one.topic for one in live.frames}
                assert news[:3] == [1002, 1003, 1004]


async def test_signing_out_ends_the_session_on_every_gateway_at_once(
    platform: Platform, admin: Administrator, http: httpx.AsyncClient
) -> None:
    async with httpx.AsyncClient(base_url=platform.programs[SECOND_GATEWAY].url, timeout=15) as other:
        assert (await other.get(f"{ADMIN}/auth/me", headers=admin.headers)).status_code == 200
        async with listening(other, admin.headers, "settings") as live:
            assert (await http.post(f"{ADMIN}/auth/logout", headers=admin.headers)).status_code == 204
            assert (await http.get(f"{ADMIN}/auth/me", headers=admin.headers)).status_code == 401

            async def refused() -> bool:
                return (await other.get(f"{ADMIN}/auth/me", headers=admin.headers)).status_code == 401

            await eventually(refused, within_seconds=1)
            await eventually(lambda: live.has_ended, within_seconds=2)
