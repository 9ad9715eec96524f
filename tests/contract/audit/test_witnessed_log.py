"""Witnesses through the gateway: an entry becomes witnessed, and the witnessed checkpoint opens for everybody who reads notes."""

import asyncio
import base64
import json
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.keys import load_or_create_ed25519
from services.audit.app import LOG_KEY
from services.audit.log.checkpoints import open_checkpoint
from services.audit.log.cosignatures import WitnessKey, find_cosignature
from services.audit.log.notes import SigningKey, VerifierKey, parted
from services.audit.log.proofs import is_included
from tests.contract.audit.test_log import LOG, signed
from tests.contract.audit.verifier.test_second_opinions import opinion
from tests.support.audit_files import write_tiles
from tests.support.audit_log import Cosigner, made_log
from tests.support.eventually import eventually
from tests.support.house import ADMIN, House, open_house
from tests.support.postgres import PlatformDatabases
from tests.support.processes import free_port
from tests.support.witness import Running, witness

ORDER = ["accepted", "integrated", "witnessed"]


async def test_an_entry_becomes_witnessed_by_a_quorum_of_which_one_is_away(
    platform_databases: PlatformDatabases, tmp_path: Path
) -> None:
    """Of two witnesses one is enough, and one is not there."""
    folder = tmp_path / "platform"
    key = SigningKey("reeve.local/audit", load_or_create_ed25519(folder / "keys" / LOG_KEY)).verifier
    away = WitnessKey("away.test/w", Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    database = await platform_databases.make("gateway", "audit", "settings", "notifications")
    async with witness(tmp_path / "witness", key.text) as running:
        named = [
            {"url": running.url, "vkey": running.key.text},
            {"url": f"http://127.0.0.1:{free_port()}", "vkey": away.text},
        ]
        house = await asyncio.to_thread(
            open_house, database, folder, REEVE_AUDIT_WITNESSES=json.dumps(named), REEVE_AUDIT_WITNESS_SECONDS="1",
            REEVE_AUDIT_WITNESS_QUORUM="1",
        )  # fmt: skip
        try:
            await _becomes_witnessed(house, key, running)
        finally:
            await asyncio.to_thread(house.stop)
            await platform_databases.give_back(database)


async def _becomes_witnessed(house: House, key: VerifierKey, running: Running) -> None:
    with await asyncio.to_thread(house.client) as http:
        entry = await asyncio.to_thread(_newest_entry, http)
        states: list[str] = []

        def is_witnessed() -> bool:
            states.append(http.get(f"{ADMIN}/audit/logs/{entry['id']}").raise_for_status().json()["proof_state"])
            return states[-1] == "witnessed"

        await eventually(lambda: asyncio.to_thread(is_witnessed), within_seconds=30, every_seconds=0.1)
        assert [ORDER.index(state) for state in states] == sorted(ORDER.index(state) for state in states)
        note = await asyncio.to_thread(lambda: http.get(f"{LOG}/checkpoint?witnessed=true").raise_for_status().text)
        head = open_checkpoint(note, key)
        assert head.size > entry["sequence"]
        assert find_cosignature(*parted(note), running.key)
        await asyncio.to_thread(_is_proven, http, entry, key, running)
        said = await asyncio.to_thread(lambda: http.post(f"{ADMIN}/audit/verify", json={"count": 1}).json())
        assert said["signed_size"] >= said["witnessed_size"] >= head.size
        measured = await asyncio.to_thread(lambda: httpx.get(house.metrics_url, verify=False).text)
        assert (
            f'reeve_audit_anchored_size{{anchor="witness {running.key.name}+{running.key.key_id.hex()}"}}' in measured
        )
        assert "reeve_audit_unwitnessed_age_seconds" in measured


def _newest_entry(http: httpx.Client) -> dict[str, Any]:
    http.get(f"{ADMIN}/settings").raise_for_status()
    signed(http)
    newest: dict[str, Any] = http.get(f"{ADMIN}/audit/logs?limit=1").raise_for_status().json()["logs"][0]
    return newest


def _is_proven(http: httpx.Client, entry: dict[str, Any], key: VerifierKey, running: Running) -> None:
    path = f"{ADMIN}/audit/logs/{entry['id']}/proof?witnessed=true"
    found = http.get(path).raise_for_status().json()
    head = open_checkpoint(found["checkpoint"], key)
    leaf = sha256(b"\0" + base64.b64decode(found["entry"])).digest()
    proof = [base64.b64decode(one) for one in found["hashes"]]
    assert is_included(leaf=leaf, index=entry["sequence"], size=head.size, proof=proof, root=head.root)
    assert find_cosignature(*parted(found["checkpoint"]), running.key)
    assert found["witnessed_size"] >= head.size
    file = http.get(f"{path}&format=tlog-proof").raise_for_status().text
    assert find_cosignature(*parted(file.partition("\n\n")[2]), running.key)


def test_a_log_without_witnesses_says_so(house: House) -> None:
    with house.client() as http:
        entry = _newest_entry(http)
        signed(http, beyond=entry["sequence"])
        assert http.get(f"{ADMIN}/audit/logs/{entry['id']}").json()["proof_state"] == "integrated"
        refused = http.get(f"{LOG}/checkpoint?witnessed=true")
        assert (refused.status_code, refused.text) == (409, "the log has no witnesses\n")
        refused = http.get(f"{ADMIN}/audit/logs/{entry['id']}/proof?witnessed=true")
        assert (refused.status_code, refused.json()["detail"]["error"]) == (409, "no_witnesses")
        assert http.get(f"{ADMIN}/audit/logs/{entry['id']}/proof").json()["witnessed_size"] is None
        assert http.post(f"{ADMIN}/audit/verify", json={}).json()["witnessed_size"] is None
        assert http.get(f"{LOG}/checkpoint?witnessed=x").status_code == 422


@pytest.mark.needs_go
def test_go_opens_a_cosigned_head_by_the_log_s_own_key(tmp_path: Path) -> None:
    log = made_log(300)
    for name in ("w.test/1", "w.test/2"):
        log.head.note += Cosigner(name).line(log.head.note, 1_700_000_000)
    done: subprocess.CompletedProcess[str] = opinion(tmp_path, str(write_tiles(log, tmp_path)), log.signer.vkey)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["size"] == 300
