"""Saved searches and histories through the whole platform."""

import time
from urllib.parse import quote

from libs.common.ids import new_id
from tests.support.house import ADMIN, House

SAVED = f"{ADMIN}/audit/saved-searches"


def test_a_search_is_kept_shown_shared_and_given_up(house: House) -> None:
    with house.client() as admin, house.client("viewer") as viewer:
        made = admin.post(SAVED, json={"name": "Denied", "filters": {"outcome": "denied"}, "is_shared": True})
        assert made.status_code == 201, made.text
        search = made.json()
        assert admin.get(f"{SAVED}/{search['id']}").json() == search
        assert viewer.get(SAVED).json()["saved_searches"] == [{**search, "is_own": False}]
        refused = viewer.delete(f"{SAVED}/{search['id']}")
        assert (refused.status_code, refused.json()["detail"]["error"]) == (403, "not_owner")
        again = admin.post(SAVED, json={"name": "Denied", "filters": {}})
        assert (again.status_code, again.json()["detail"]["error"]) == (409, "saved_search_exists")
        found = admin.get(f"{ADMIN}/audit/logs", params=search["filters"])
        assert found.status_code == 200, "what is kept is what the list takes"
        assert admin.delete(f"{SAVED}/{search['id']}").status_code == 204
        gone = admin.delete(f"{SAVED}/{search['id']}")
        assert (gone.status_code, gone.json()["detail"]["error"]) == (404, "saved_search_not_found")


def test_what_is_wrong_with_a_search_is_named(house: House) -> None:
    with house.client() as admin:
        for body, place in (
            ({"name": "x", "filters": {"severity": "high"}}, ["body", "filters", "severity", 0]),
            ({"name": " x", "filters": {}}, ["body", "name"]),
            ({"name": "", "filters": {}}, ["body", "name"]),
            ({"name": "x", "filters": {}, "owner_id": new_id()}, ["body", "owner_id"]),
        ):
            refused = admin.post(SAVED, json=body)
            assert refused.status_code == 422, body
            assert refused.json()["detail"]["errors"][0]["loc"] == place


def test_a_setting_has_its_history_from_its_first_day(house: House) -> None:
    key = f"history.of_{new_id()[-8:]}"
    with house.client() as admin:
        new = {"key": key, "value": 1, "value_type": "integer", "category": "system", "config_type": "setting"}
        admin.post(f"{ADMIN}/settings", json=new).raise_for_status()
        admin.put(f"{ADMIN}/settings/{key}", json={"value": 2}).raise_for_status()
        admin.get(f"{ADMIN}/settings/{key}").raise_for_status()
        deadline = time.monotonic() + 20
        while True:
            body = admin.get(f"{ADMIN}/audit/targets/setting/{quote(key)}").raise_for_status().json()
            actions = [entry["action"] for entry in body["history"]]
            if "view_setting" in actions:
                break
            assert time.monotonic() < deadline, actions
            time.sleep(0.1)
        told = [action for action in actions if action != "accept_operation"]
        assert told == ["create_setting", "update_setting", "view_setting"]
        assert {entry["target_id"] for entry in body["history"]} == {key}
        times = [entry["created_at"] for entry in body["history"]]
        assert times == sorted(times)
