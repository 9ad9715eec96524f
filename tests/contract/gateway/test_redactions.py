"""Redactions through the whole platform: a proof is asked for, the log announces itself, and what is gone is gone."""

import time
from typing import Any

import httpx

from libs.common.ids import new_id
from tests.support.house import ADMIN, PASSWORD, House

REDACTIONS = f"{ADMIN}/audit/redactions"


def entries_of(http: httpx.Client, **filters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get(f"{ADMIN}/audit/logs", params=filters).raise_for_status().json()["logs"]
    return found


def wait_for(http: httpx.Client, path: str, member: str, value: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        body: dict[str, Any] = http.get(path).raise_for_status().json()
        if body[member] == value:
            return body
        assert time.monotonic() < deadline, body
        time.sleep(0.05)


def made_user(http: httpx.Client) -> dict[str, Any]:
    email = f"leaving-{new_id()[-8:]}@example.com"
    body = {"email": email, "name": "Leaving Person", "role": "viewer", "password": PASSWORD}
    user: dict[str, Any] = http.post(f"{ADMIN}/users", json=body).raise_for_status().json()
    return user


def test_a_person_is_erased_from_the_log_and_the_log_says_so(house: House) -> None:
    with house.client() as admin:
        user = made_user(admin)
        deadline = time.monotonic() + 20
        while not (before := entries_of(admin, target_type="user", target_id=user["id"])):
            assert time.monotonic() < deadline
        assert any(user["email"] in str(one) or one["details"] or one["changes"] for one in before)
        asked = {"subject_type": "user", "subject_id": user["id"], "reason": "case 2026-17"}
        dry = admin.post(REDACTIONS, json={**asked, "dry_run": True})
        assert (dry.status_code, dry.json()["entries"] >= 1) == (200, True), dry.text
        started = admin.post(REDACTIONS, json=asked)
        assert started.status_code == 201, started.text
        job = wait_for(admin, f"{REDACTIONS}/{started.json()['id']}", "state", "succeeded")
        assert (job["entries"] >= 1, job["operation_id"]) == (True, started.headers["x-operation-id"])
        assert admin.get(REDACTIONS).json()["redactions"][0]["id"] == job["id"]
        for one in entries_of(admin, target_type="user", target_id=user["id"]):
            if one["sequence"] <= max(entry["sequence"] for entry in before):
                assert (one["details"], one["changes"]) == ({}, None), one
                assert one["redactions"][0]["id"] == job["id"]
        told = {one["event_type"] for one in entries_of(admin, target_type="redaction", target_id=job["id"])}
        assert {"reeve.audit.redacted.v1", "reeve.redaction.started.v1"} <= told
        proof = admin.get(f"{ADMIN}/audit/logs/{before[-1]['id']}/proof")
        assert proof.status_code == 200


def test_what_is_wrong_with_a_question_is_named_and_who_may_not_is_refused(house: House) -> None:
    body = {"subject_type": "user", "subject_id": new_id(), "reason": "case 1"}
    with house.client() as admin, house.client("admin") as lesser:
        for wrong, place in (
            ({**body, "subject_type": "a b"}, "subject_type"), ({**body, "subject_id": ""}, "subject_id"),
            ({**body, "reason": "a\nb"}, "reason"), ({**body, "dry_run": "yes"}, "dry_run"),
            ({**body, "name": "x"}, "name"),
        ):  # fmt: skip
            refused = admin.post(REDACTIONS, json=wrong)
            assert refused.status_code == 422, refused.text
            assert (refused.status_code, refused.json()["detail"]["errors"][0]["loc"]) == (422, ["body", place])
        for path in ({**body}, {**body, "dry_run": True}):
            assert lesser.post(REDACTIONS, json=path).status_code == 403
        assert admin.get(f"{REDACTIONS}/{new_id()}").json()["detail"]["error"] == "redaction_not_found"
