"""Schemas that platforms register for their own types, through the whole platform."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from libs.common.ids import new_id
from services.gateway.features.event_types import commands, store
from tests.support.house import ADMIN, House

CATALOG = f"{ADMIN}/events/catalog"
STRUCTURED = "application/cloudevents+json"
SCHEMA: dict[str, Any] = {
    "type": "object", "required": ["order_id"], "additionalProperties": False,
    "properties": {"order_id": {"type": "string"}, "lines": {"type": "array", "items": {"required": ["sku"]}}},
}  # fmt: skip
EXAMPLE = {"order_id": "4711", "lines": [{"sku": "a"}]}
PUT = {"source": "/platform/shop", "json_schema": SCHEMA, "example": EXAMPLE}


def a_type(word: str = "order") -> str:
    return f"com.shop.{word}_{new_id()[-12:]}.v1"


@pytest.fixture
def name(house: House) -> Iterator[str]:
    """The name of a type that nobody registered; forgotten afterwards."""
    made = a_type()
    yield made
    with house.client() as admin:
        admin.delete(f"{CATALOG}/{made}")


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["error"]


def event(kind: str, data: Any, **given: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": new_id(), "source": "/platform/shop", "type": kind, "data": data, **given}


def publish(http: httpx.Client, one: dict[str, Any] | list[Any]) -> httpx.Response:
    kind = "application/cloudevents-batch+json" if isinstance(one, list) else STRUCTURED
    return http.post("/api/v1/events", json=one, headers={"content-type": kind})


def test_a_type_is_registered_shown_changed_and_forgotten_and_every_version_is_kept(house: House, name: str) -> None:
    with house.client() as admin, house.client("viewer") as viewer:
        made = admin.put(f"{CATALOG}/{name}", json={**PUT, "type": name, "description": "An order."})
        assert (made.status_code, made.headers["etag"], made.headers["location"]) == (201, '"1"', f"{CATALOG}/{name}")
        shown = viewer.get(f"{CATALOG}/{name}")
        assert shown.json() == made.json()
        assert shown.json() | {"registered_at": ""} == {
            "type": name, "source": "/platform/shop", "description": "An order.", "json_schema": SCHEMA, "example": EXAMPLE,
            "registered_by": admin.get(f"{ADMIN}/auth/me").json()["id"], "version": 1, "registered_at": "", "narrows": [],
        }  # fmt: skip
        assert viewer.get(f"{CATALOG}/{name}", headers={"if-none-match": '"1"'}).status_code == 304
        same = admin.put(f"{CATALOG}/{name}", json={**PUT, "description": "An order."})
        assert (same.status_code, same.headers["etag"]) == (200, '"1"')
        narrower = {**SCHEMA, "required": ["order_id", "lines"]}
        changed = admin.put(f"{CATALOG}/{name}", json={**PUT, "json_schema": narrower}, headers={"if-match": '"1"'})
        assert (changed.status_code, changed.headers["etag"], changed.json()["narrows"]) == (200, '"2"', ["/required"])
        late = admin.put(f"{CATALOG}/{name}", json=PUT, headers={"if-match": '"1"'})
        assert error_of(late) == (412, "version_conflict")
        only_new = admin.put(f"{CATALOG}/{name}", json=PUT, headers={"if-none-match": "*"})
        assert error_of(only_new) == (412, "version_conflict")
        versions = viewer.get(f"{CATALOG}/{name}/versions").json()
        assert [(one["version"], one["json_schema"]) for one in versions["versions"]] == [(2, narrower), (1, SCHEMA)]
        assert (versions["total"], versions["next_cursor"]) == (2, None)
        first = viewer.get(f"{CATALOG}/{name}/versions", params={"limit": 1}).json()
        rest = viewer.get(f"{CATALOG}/{name}/versions", params={"limit": 1, "cursor": first["next_cursor"]}).json()
        assert [one["version"] for one in (*first["versions"], *rest["versions"])] == [2, 1]
        listed = viewer.get(CATALOG).json()
        [found] = [one for one in listed["event_types"] if one["type"] == name]
        assert found == changed.json()
        assert listed["total"] == len(listed["event_types"]) == listed["limit"]
        assert error_of(admin.delete(f"{CATALOG}/{name}", headers={"if-match": '"1"'})) == (412, "version_conflict")
        assert admin.delete(f"{CATALOG}/{name}", params={"confirm": "true"}).status_code == 204
        assert error_of(viewer.get(f"{CATALOG}/{name}")) == (404, "event_type_not_found")
        assert error_of(admin.delete(f"{CATALOG}/{name}")) == (404, "event_type_not_found")
        assert name not in {one["type"] for one in viewer.get(CATALOG).json()["event_types"]}
        anew = admin.put(f"{CATALOG}/{name}", json=PUT)
        assert (anew.status_code, anew.json()["version"], anew.json()["narrows"]) == (201, 3, [])
        assert viewer.get(f"{CATALOG}/{name}/versions").json()["total"] == 3


def test_what_breaks_a_registered_schema_is_refused_with_its_place_and_version(house: House, name: str) -> None:
    with house.client() as admin, house.client("client") as shop:
        assert publish(shop, event(name, {"order_id": 1})).status_code == 202, "nobody registered it"
        admin.put(f"{CATALOG}/{name}", json=PUT).raise_for_status()
        assert publish(shop, event(name, EXAMPLE)).status_code == 202
        broken = event(name, {"order_id": "1", "lines": [{"sku": "a"}, {}]})
        refused = publish(shop, broken)
        assert error_of(refused) == (422, "invalid_event")
        assert refused.json()["detail"]["event_id"] == broken["id"]
        assert f"/lines/1 breaks required: sku is missing (version 1 of {name})" in refused.json()["detail"]["message"]
        assert error_of(publish(shop, [event(name, EXAMPLE), event(name, None)])) == (422, "invalid_event")
        secret = event(name, {"order_id": "1", "hunter2": "hunter2"})
        assert "hunter2" not in publish(shop, secret).text
        raw = base64.b64encode(b"x").decode()
        assert error_of(publish(shop, event(name, None) | {"data_base64": raw})) == (422, "invalid_event")
        admin.put(f"{CATALOG}/{name}", json={**PUT, "json_schema": {}}).raise_for_status()
        assert publish(shop, broken | {"id": new_id()}).status_code == 202
        admin.put(f"{CATALOG}/{name}", json=PUT).raise_for_status()
        admin.delete(f"{CATALOG}/{name}").raise_for_status()
        assert publish(shop, broken | {"id": new_id()}).status_code == 202


def test_source_and_type_are_looked_at_before_the_schema(house: House) -> None:
    with house.client() as admin, house.client("client") as shop:
        foreign = f"com.bank.paid_{new_id()[-12:]}.v1"
        for kind in (foreign, known := a_type()):
            admin.put(f"{CATALOG}/{kind}", json=PUT).raise_for_status()
        assert error_of(publish(shop, event(foreign, {}, source="/platform/bank"))) == (403, "source_not_allowed")
        assert error_of(publish(shop, event(foreign, {}))) == (403, "event_type_not_allowed")
        assert error_of(publish(shop, event("platform.unheard.of.v1", {}))) == (422, "unknown_event_type")
        assert error_of(publish(shop, event(known, {}))) == (422, "invalid_event")
        for kind in (foreign, known):
            admin.delete(f"{CATALOG}/{kind}").raise_for_status()


@pytest.mark.parametrize("kind", ["reeve.setting.changed.v1", "reeve.mine.v1", "platform.import.failed.v9"])
def test_reeves_own_types_stay_as_they_are(house: House, kind: str) -> None:
    with house.client() as admin:
        assert error_of(admin.put(f"{CATALOG}/{kind}", json=PUT)) == (409, "builtin_event_type")
        assert error_of(admin.delete(f"{CATALOG}/{kind}")) == (409, "builtin_event_type")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**PUT, "example": {"order_id": 1}}, "invalid_example"),
        ({**PUT, "example": None}, "invalid_example"),
        ({**PUT, "json_schema": {"$ref": "https://example.com/x"}}, "invalid_json_schema"),
        ({**PUT, "json_schema": {"minimun": 1}}, "invalid_json_schema"),
        ({**PUT, "json_schema": {"description": "x" * 17_000}}, "invalid_json_schema"),
        ({**PUT, "json_schema": {}, "example": "x" * 17_000}, "invalid_example"),
        ({**PUT, "type": "com.shop.other.v1"}, "invalid_event_type"),
        ({**PUT, "source": "/reeve/gateway"}, "validation_error"),
        ({**PUT, "registered_by": "me"}, "validation_error"),
        ({"json_schema": SCHEMA}, "validation_error"),
        ({**PUT, "json_schema": []}, "validation_error"),
    ],
)  # fmt: skip
def test_what_is_no_schema_or_has_no_fitting_example_is_refused(house: House, body: Any, code: str) -> None:
    with house.client() as admin:
        assert error_of(admin.put(f"{CATALOG}/{a_type()}", json=body)) == (422, code)


def test_each_change_is_an_entry_with_before_and_after(house: House, name: str) -> None:
    with house.client() as admin:
        admin.put(f"{CATALOG}/{name}", json=PUT).raise_for_status()
        narrower = {**SCHEMA, "required": ["order_id", "lines"]}
        admin.put(f"{CATALOG}/{name}", json={**PUT, "json_schema": narrower}).raise_for_status()
        admin.delete(f"{CATALOG}/{name}").raise_for_status()
        found = changes_of(admin, name, 3)
        assert [(one["action"], one["severity"], one["outcome"]) for one in found] == [
            ("register_event_type", "info", "success"), ("register_event_type", "warning", "success"),
            ("delete_event_type", "warning", "success"),
        ]  # fmt: skip
        assert found[1]["changes"]["json_schema"] == {"old": SCHEMA, "new": narrower}
        assert found[1]["details"]["narrows"] == ["/required"]
        assert found[2]["changes"]["version"] == {"old": 2}
        admin.put(f"{CATALOG}/{name}", json=PUT).raise_for_status()


def changes_of(admin: httpx.Client, name: str, count: int) -> list[dict[str, Any]]:
    """A type's entries, once there are so many."""
    found: list[dict[str, Any]] = []
    for _ in range(200):
        found = admin.get(f"{ADMIN}/audit/logs", params={"target_id": name, "sort": "created_at"}).json()["logs"]
        changes = [one for one in found if one["event_type"].startswith("reeve.event_type.")]
        if len(changes) >= count:
            return changes
    raise AssertionError(found)


def test_a_client_registers_its_own_types_and_no_others(house: House) -> None:
    body = {
        "name": "press", "source": f"/platform/press-{new_id()[-6:]}", "event_types": ["com.press.*"],
        "scopes": ["events:publish", "roles:write", "system:read"],
    }  # fmt: skip
    kind, other = f"com.press.{new_id()[-12:]}.v1", a_type()
    with house.client() as admin, house.client(None) as http:
        made = admin.post(f"{ADMIN}/clients", json=body).raise_for_status().json()
        form = {
            "grant_type": "client_credentials",
            "client_id": made["client_id"],
            "client_secret": made["client_secret"],
        }
        token = http.post("/api/v1/oauth/token", data=form).raise_for_status().json()["access_token"]
        press = {"authorization": f"Bearer {token}"}
        own = http.put(f"{CATALOG}/{kind}", json={"json_schema": {}, "example": 1}, headers=press)
        assert (own.status_code, own.json()["source"]) == (201, body["source"])
        assert own.json()["registered_by"] == made["client_id"]
        refused = http.put(f"{CATALOG}/{other}", json={"json_schema": {}, "example": 1}, headers=press)
        assert error_of(refused) == (403, "event_type_not_allowed")
        assert error_of(http.put(f"{CATALOG}/{kind}", json=PUT, headers=press)) == (403, "source_not_allowed")
        admin.put(f"{CATALOG}/{kind}", json=PUT).raise_for_status()
        assert error_of(http.delete(f"{CATALOG}/{kind}", headers=press)) == (403, "source_not_allowed")
        taken = {"json_schema": {}, "example": 1, "source": body["source"]}
        assert error_of(http.put(f"{CATALOG}/{kind}", json=taken, headers=press)) == (403, "source_not_allowed")
        admin.delete(f"{CATALOG}/{kind}").raise_for_status()


def test_the_document_of_all_types_shows_what_is_registered(house: House, name: str) -> None:
    with house.client() as admin, house.client(None) as anyone:
        admin.put(f"{CATALOG}/{name}", json=PUT).raise_for_status()
        document = anyone.get("/api/v1/asyncapi.json").json()
        [(key, channel)] = [item for item in document["channels"].items() if item[1]["address"] == name]
        message = document["components"]["messages"][key]
        assert channel["messages"] == {key: {"$ref": f"#/components/messages/{key}"}}
        assert message["payload"]["properties"]["data"] == SCHEMA
        assert message["examples"][0]["payload"] == {"type": name, "data": EXAMPLE}
        assert document["operations"][f"receive_{key}"]["channel"] == {"$ref": f"#/channels/{key}"}
        assert "reeve_setting_changed_v1" in document["channels"]
        admin.delete(f"{CATALOG}/{name}").raise_for_status()
        assert name not in anyone.get("/api/v1/asyncapi.json").text
        admin.put(f"{CATALOG}/{name}", json=PUT).raise_for_status()


def test_who_may_not_is_refused(house: House, name: str) -> None:
    with house.client("admin") as admin, house.client("client") as shop:
        for refused in (admin.put(f"{CATALOG}/{name}", json=PUT), admin.delete(f"{CATALOG}/{name}")):
            assert refused.status_code == 403
            assert refused.json()["detail"]["required_permission"] == "roles:write"
        assert shop.get(f"{CATALOG}/{name}").status_code == 403


def test_there_are_bounds_on_types_versions_and_what_was_deleted(
    house: House, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house.client() as admin:
        monkeypatch.setattr(commands, "MOST_VERSIONS", 2)
        for number in (1, 2):
            admin.put(f"{CATALOG}/{name}", json={**PUT, "description": f"v{number}"}).raise_for_status()
        assert error_of(admin.put(f"{CATALOG}/{name}", json=PUT)) == (409, "too_many_versions")
        assert admin.put(f"{CATALOG}/{name}", json={**PUT, "description": "v2"}).status_code == 200, "nothing new"
        monkeypatch.setattr(commands, "MOST_TYPES", 1)
        assert error_of(admin.put(f"{CATALOG}/{a_type()}", json=PUT)) == (409, "too_many_event_types")
        monkeypatch.undo()
        monkeypatch.setattr(store, "MOST_DELETED", 1)
        gone = [a_type() for _ in range(3)]
        for kind in gone:
            admin.put(f"{CATALOG}/{kind}", json=PUT).raise_for_status()
            admin.delete(f"{CATALOG}/{kind}").raise_for_status()
        kept = [admin.get(f"{CATALOG}/{kind}/versions").status_code for kind in gone]
        assert kept == [404, 404, 200]


def test_changes_at_once_follow_each_other(house: House, name: str) -> None:
    def put(number: int) -> int:
        with house.client() as admin:
            body = {**PUT, "description": f"change {number}"}
            answer = admin.put(f"{CATALOG}/{name}", json=body)
            assert answer.status_code in (200, 201), answer.text
            return int(answer.json()["version"])

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(put, range(8))) == list(range(1, 9))
