"""The log through the gateway: proofs, tiles and checks as a client of transparency logs meets them."""

import base64
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.common.ids import new_id
from services.audit.log.checkpoints import Checkpoint, open_checkpoint
from services.audit.log.notes import NoteRefused, VerifierKey
from services.audit.log.proofs import is_included
from services.audit.verifier.notes import parse_key
from services.audit.verifier.receipts import Receipt, open_receipt
from tests.support.house import ADMIN, House, open_house
from tests.support.postgres import PlatformDatabases

PATIENCE_SECONDS = 20.0
LOG = "/api/v1/audit"


def signed(http: httpx.Client, *, beyond: int = 0) -> Checkpoint:
    """The newest checkpoint, once it holds more than `beyond` entries."""
    key = VerifierKey.parse(http.get(f"{LOG}/key").raise_for_status().text)
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = http.get(f"{LOG}/checkpoint")
        if answer.status_code == 200:
            found = open_checkpoint(answer.text, key)
            if found.size > beyond:
                return found
        assert time.monotonic() < end, answer.text
        time.sleep(0.2)


def test_an_entry_is_proven_against_the_signed_checkpoint(house: House) -> None:
    with house.client() as http:
        http.get(f"{ADMIN}/settings").raise_for_status()
        signed(http)
        newest: dict[str, Any] = http.get(f"{ADMIN}/audit/logs?limit=1").raise_for_status().json()["logs"][0]
        checkpoint = signed(http, beyond=newest["sequence"])
        found = http.get(f"{ADMIN}/audit/logs/{newest['id']}/proof").raise_for_status().json()
        leaf = base64.b64decode(found["leaf_hash"])
        assert leaf == sha256(b"\0" + base64.b64decode(found["entry"])).digest()
        key = VerifierKey.parse(http.get(f"{LOG}/key").text)
        head = open_checkpoint(found["checkpoint"], key)
        assert head.size >= checkpoint.size > found["sequence"] == newest["sequence"]
        proof = [base64.b64decode(one) for one in found["hashes"]]
        assert is_included(leaf=leaf, index=found["sequence"], size=head.size, proof=proof, root=head.root)
        file = http.get(f"{ADMIN}/audit/logs/{newest['id']}/proof?format=tlog-proof").raise_for_status()
        assert file.text.startswith(f"c2sp.org/tlog-proof@v1\nindex {newest['sequence']}\n")


def test_whoever_sent_an_event_holds_a_receipt_that_the_offline_verifier_takes(house: House) -> None:
    event = {
        "specversion": "1.0", "id": new_id(), "source": "/platform/shop", "type": "com.shop.receipted.v1",
        "subject": f"order/{new_id()}", "data": {},
    }  # fmt: skip
    with house.client("client") as shop:
        kind = {"content-type": "application/cloudevents+json"}
        shop.post("/api/v1/events", json=event, headers=kind).raise_for_status()
    with house.client() as http:
        key = http.get(f"{LOG}/receipt-key").raise_for_status().text.strip()
        assert key.startswith("reeve.local/audit/receipts+")
        entry = first_entry(http, action="com.shop.receipted.v1")
        answer = http.get(f"{ADMIN}/audit/logs/{entry['id']}/receipt").raise_for_status()
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        opened = open_receipt(answer.text, parse_key(key), "it")
        assert isinstance(opened, Receipt), opened
        assert (opened.event_id, opened.place) == (event["id"], entry["sequence"])
        signed(http, beyond=entry["sequence"])
        proof = http.get(f"{ADMIN}/audit/logs/{entry['id']}/proof").raise_for_status().json()
        assert base64.b64decode(proof["leaf_hash"]) == opened.leaf_hash
        with pytest.raises(NoteRefused):
            open_checkpoint(answer.text, VerifierKey.parse(key))
        missing = http.get(f"{ADMIN}/audit/logs/{new_id()}/receipt")
        assert (missing.status_code, missing.json()["detail"]["error"]) == (404, "audit_log_not_found")
    with house.client("moderator") as moderator:
        assert moderator.get(f"{ADMIN}/audit/logs/{entry['id']}/receipt").status_code == 403


def first_entry(http: httpx.Client, **filters: str) -> dict[str, Any]:
    """The first entry that is found, once there is one."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        found: list[dict[str, Any]] = http.get(f"{ADMIN}/audit/logs", params=filters).raise_for_status().json()["logs"]
        if found:
            return found[0]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_tiles_hold_what_the_checkpoint_signs(house: House) -> None:
    with house.client() as http:
        checkpoint = signed(http)
        width = min(checkpoint.size, 256)
        path = "000" if width == 256 else f"000.p/{width}"
        hashes = http.get(f"{LOG}/tile/0/{path}").raise_for_status()
        bundle = http.get(f"{LOG}/tile/entries/{path}").raise_for_status().content
        assert hashes.headers["cache-control"] == "public, max-age=31536000, immutable"
        bodies = []
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            bodies.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
        assert b"".join(sha256(b"\0" + body).digest() for body in bodies) == hashes.content


def test_the_stored_log_is_derived_again_part_by_part(house: House) -> None:
    with house.client() as http:
        signed(http)
        first: int | None = 0
        while first is not None:
            found = http.post(f"{ADMIN}/audit/verify", json={"first": first, "count": 300}).raise_for_status().json()
            assert found["holds"], found
            first = found["next"]
        assert found["first"] + found["checked"] == found["tree_size"] > 0


@pytest.mark.parametrize(
    "body", [{"first": -1}, {"count": 0}, {"count": 4097}, {"first": "0"}, {"last": 9}, {"first": True}]
)
def test_a_part_that_cannot_be_is_refused(house: House, body: dict[str, Any]) -> None:
    with house.client() as http:
        assert http.post(f"{ADMIN}/audit/verify", json=body).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/zzz",
        "tile/0/999",
        "tile/9/000",
        "tile/0/000/../../../logs",
        "tile/entries/x999/999",
        "tile/",
        "tile/0/000?x=1",
    ],
)
def test_what_goes_wrong_is_said_in_a_line_of_text(house: House, path: str) -> None:
    with house.client() as http:
        answer = http.get(f"{LOG}/{path}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.endswith("\n")
    assert "{" not in answer.text


@pytest.mark.parametrize("path", ["key", "checkpoint", "tile/0/000"])
def test_the_log_is_for_those_who_may_verify_it(house: House, path: str) -> None:
    with house.client(None) as anybody, house.client("moderator") as moderator, house.client("viewer") as viewer:
        refused = anybody.get(f"{LOG}/{path}")
        assert (refused.status_code, refused.headers["content-type"]) == (401, "text/plain; charset=utf-8")
        assert moderator.get(f"{LOG}/{path}").status_code == 403
        assert viewer.get(f"{LOG}/{path}").status_code in (200, 404)


async def test_a_public_log_is_for_everybody_and_reading_it_adds_nothing_to_it(
    platform_databases: PlatformDatabases, tmp_path: Path
) -> None:
    database = await platform_databases.make("gateway", "audit", "settings", "notifications")
    house = open_house(database, tmp_path, REEVE_AUDIT_LOG_PUBLIC="true", REEVE_AUDIT_LOG_ORIGIN="log.example/reeve")
    try:
        house.token("viewer")
        with house.client(None) as http:
            assert signed(http, beyond=1).origin == "log.example/reeve"
            for _ in range(5):
                http.get(f"{LOG}/tile/0/000.p/1").raise_for_status()
            assert http.post(f"{ADMIN}/audit/verify", json={}).status_code == 401
        with house.client() as http:
            size = signed(http).size
            http.get(f"{ADMIN}/settings").raise_for_status()
            signed(http, beyond=size)
            found = http.get(f"{ADMIN}/audit/logs?q=audit&limit=200").raise_for_status().json()["logs"]
        assert {one["action"] for one in found} & {
            "view_audit_tile",
            "view_audit_checkpoint",
            "view_audit_log_key",
        } == set()
        assert any(one["action"] == "verify_audit_log" for one in found)
    finally:
        house.stop()
        await platform_databases.give_back(database)
