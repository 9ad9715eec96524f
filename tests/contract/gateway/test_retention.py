"""How long audit entries are kept, through the whole platform."""

from libs.common.ids import new_id
from tests.support.house import ADMIN, House

PATH = f"{ADMIN}/audit/retention"


def test_rules_are_changed_by_version_and_the_change_is_an_entry(house: House) -> None:
    with house.client() as admin, house.client("viewer") as viewer:
        before = admin.get(PATH)
        assert before.status_code == 200, before.text
        assert (before.json()["configured_days"], before.headers["etag"]) == (365, f'"{before.json()["version"]}"')
        types = {"com.shop.order.placed.v1": 400}
        changed = admin.put(PATH, json={"types": types}, headers={"if-match": before.headers["etag"]})
        assert changed.status_code == 200, changed.text
        assert (changed.json()["types"], changed.json()["default_days"]) == (types, 365)
        late = admin.put(PATH, json={"types": {}}, headers={"if-match": before.headers["etag"]})
        assert (late.status_code, late.json()["detail"]["error"]) == (412, "version_conflict")
        assert viewer.put(PATH, json={"types": {}}).status_code == 403
        assert viewer.get(PATH).json()["types"] == types


def test_a_hold_is_placed_shown_and_lifted_once(house: House) -> None:
    name = f"Case {new_id()[-8:]}"
    with house.client() as admin:
        body = {
            "name": name,
            "reason": "a court asks",
            "filter": {"target_type": "user", "date_to": "2026-01-01T00:00:00Z"},
        }
        placed = admin.post(f"{PATH}/holds", json=body)
        assert placed.status_code == 201, placed.text
        hold = placed.json()
        assert (hold["filter"], hold["lifted_at"]) == (body["filter"], None)
        assert hold in admin.get(PATH).json()["legal_holds"]
        again = admin.post(f"{PATH}/holds", json=body)
        assert (again.status_code, again.json()["detail"]["error"]) == (409, "legal_hold_exists")
        lift = f"{PATH}/holds/{hold['id']}/lift"
        lifted = admin.post(lift, json={"reason": "closed"})
        assert (lifted.status_code, lifted.json()["lift_reason"]) == (200, "closed")
        twice = admin.post(lift, json={"reason": "closed"})
        assert (twice.status_code, twice.json()["detail"]["error"]) == (409, "legal_hold_lifted")
        gone = admin.post(f"{PATH}/holds/{new_id()}/lift", json={"reason": "closed"})
        assert (gone.status_code, gone.json()["detail"]["error"]) == (404, "legal_hold_not_found")
        assert name not in {one["name"] for one in admin.get(PATH).json()["legal_holds"]}


def test_a_run_by_hand_and_its_dry_run(house: House) -> None:
    with house.client() as admin:
        counted = admin.post(f"{PATH}/run", json={"dry_run": True})
        assert counted.status_code == 200, counted.text
        assert counted.json() == {"dry_run": True, "to_archive": 0, "to_prune": 0, "held": 0, "types": []}
        asked = admin.post(f"{PATH}/run", json={"dry_run": False})
        assert asked.status_code == 201, asked.text
        assert asked.json()["id"] in {run["id"] for run in admin.get(PATH).json()["runs"]}


def test_what_is_wrong_is_named(house: House) -> None:
    with house.client() as admin:
        for method, path, body, place in (
            ("PUT", PATH, {"default_days": 0}, ["body", "default_days"]),
            ("PUT", PATH, {"types": {"x": 40_000}}, ["body", "types", "x"]),
            ("PUT", PATH, {"default_days": "30"}, ["body", "default_days"]),
            ("POST", f"{PATH}/holds", {"name": "x", "reason": " ", "filter": {}}, ["body", "reason"]),
            ("POST", f"{PATH}/holds", {"name": "x", "reason": "why", "filter": {"q": "x"}}, ["body", "filter", "q"]),
            *(
                (
                    "POST",
                    f"{PATH}/holds",
                    {"name": "x", "reason": "why", "filter": {"date_to": when}},
                    ["body", "filter", "date_to"],
                )
                for when in (0, "0", "2026-01-01", "2026-01-01T00:00:00", "9999-12-31T23:59:59-14:00", True)
            ),
            ("POST", f"{PATH}/run", {"dry_run": "yes"}, ["body", "dry_run"]),
        ):
            refused = admin.request(method, path, json=body)
            assert refused.status_code == 422, body
            assert refused.json()["detail"]["errors"][0]["loc"] == place
        backwards = {"date_from": "2026-02-01T00:00:00Z", "date_to": "2026-01-01T00:00:00Z"}
        refused = admin.post(f"{PATH}/holds", json={"name": "x", "reason": "why", "filter": backwards})
        assert (refused.status_code, refused.json()["detail"]["error"]) == (422, "validation_error")
