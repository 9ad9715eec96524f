"""Entries of an audit log for tests of its verifier, made by the agreed formats and by no code of the server or the verifier.

Each is a function of its place, so that a log of any size can be made without holding it. Of every hundred entries the
first is a heartbeat and number 50 a redaction; the others come from the gateway, from settings and from a platform in
turn. Numbers 7, 9 and 10 have lost two private members, which the redaction says.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

START = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)
STEP = timedelta(milliseconds=600)
SOURCES = {
    "audit": "/reeve/audit",
    "gateway": "/reeve/gateway",
    "settings": "/reeve/settings",
    "shop": "/platform/shop",
}
ERASED_AT = (7, 9, 10)
ERASED_PATHS = ("/ip_address", "/user_agent")
PATHS = {
    "/admin_username": "admin_username", "/changes": "changes", "/details": "details", "/ip_address": "ip_address",
    "/user_agent": "user_agent",
}  # fmt: skip
_AGENTS = ("Mozilla/5.0 (X11; Linux) Gecko/2026", "curl\\8\ttabbed\nand broken", "Bräuser 🦊 1.0", "Safari")
_ADDRESSES = ("192.0.2.7", "2001:db8::1:7", "198.51.100.250")


@dataclass(slots=True)
class MadeEntry:
    """One entry as the database keeps it: the leaf, what opens it, and the row that searches read."""

    leaf: dict[str, object]
    row: dict[str, str | None]
    seed: bytes | None
    salts: dict[str, bytes] | None = None
    body: bytes = b""
    leaf_hash: bytes = b""
    openings: dict[str, dict[str, object]] = field(default_factory=dict)

    def seal(self) -> None:
        """Bytes and hash of what the leaf says now."""
        self.body = json.dumps(self.leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        self.leaf_hash = hashlib.sha256(b"\x00" + self.body).digest()


def salt_of(seed: bytes, path: str) -> bytes:
    """The salt of one member."""
    return hmac.digest(seed, b"adminlog/salt/v1\x00" + path.encode(), "sha256")


def commit(salt: bytes, path: str, value: str) -> str:
    """The commitment to one member, in base64."""
    message = b"adminlog/commit/v1\x00" + path.encode() + b"\x00" + value.encode()
    return base64.b64encode(hmac.digest(salt, message, "sha256")).decode()


def made_entry(index: int, *, size: int) -> MadeEntry:
    """The entry at a place of a log of `size` entries."""
    hundred, place = divmod(index, 100)
    producer, number = _producer(hundred, place)
    public = _public(index, hundred, place)
    variant = -1 if public is not None else index % 61
    values, seed, commits = _private(variant, json.dumps(public) if public is not None else None)
    moment = START + STEP * index
    at = f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
    entry_id = f"01900000-0000-7000-8000-{index:012x}"
    kind = {0: "heartbeat", 50: "redacted"}.get(place)
    target = f"schlüssel-{index}😀" if index % 17 == 3 else f"key-{index}"
    leaf: dict[str, object] = {
        "v": 1, "index": index, "entry_id": entry_id, "event_id": f"event-{index}",
        "type": f"reeve.audit.{kind}.v1" if kind else "com.shop.order.paid" if producer == "shop" else "reeve.setting.changed.v1",
        "producer": producer, "producer_seq": number, "source": SOURCES[producer], "occurred_at": at, "received_at": at,
        "action": kind or "update_setting", "actor": {"id": None if kind else f"admin-{index % 9}", "type": "system" if kind else "admin"},
        "target": {"id": target, "type": "setting"}, "outcome": "success", "severity": "info",
        "request_id": f"request-{index}", "operation_id": None, "trace_id": f"{index:032x}", "commits": dict(commits),
        "public": public,
    }  # fmt: skip
    made = MadeEntry(leaf, _row(index, leaf, values, moment), seed)
    if place in ERASED_AT and hundred * 100 + 50 < size:
        made.seed = None
        made.salts = {path: salt_of(seed, path) for path in commits if path not in ERASED_PATHS}
        made.row.update({path[1:]: None for path in ERASED_PATHS})
    for path in commits:
        salt = salt_of(seed, path) if made.seed else (made.salts or {}).get(path)
        value = values[path]
        shown = {"salt": base64.b64encode(salt).decode(), "value": value} if salt else {"erased": True}
        made.openings[path] = dict(shown)
    made.seal()
    return made


def _producer(hundred: int, place: int) -> tuple[str, int | None]:
    if place in (0, 50):
        return "audit", hundred * 2 + (1 if place == 0 else 2)
    number = hundred * 33 + (place - 1) // 3 + 1
    match place % 3:
        case 0:
            return "settings", number
        case 1:
            return "gateway", number
        case _:
            return "shop", None


def _public(index: int, hundred: int, place: int) -> dict[str, object] | None:
    if place == 0:
        numbers = {"audit": hundred * 2, "gateway": hundred * 33, "settings": hundred * 33}
        return {"producers": numbers, "at": (START + STEP * index).isoformat()}
    if place == 50:
        first = hundred * 100
        return {
            "case": "GDPR-1", "basis": "Art. 17", "subject": "admin-7",
            "entries": [first + 7, [first + 9, first + 10]], "paths": list(ERASED_PATHS),
        }  # fmt: skip
    return None


@lru_cache(maxsize=256)
def _private(variant: int, details: str | None) -> tuple[dict[str, str | None], bytes, dict[str, str]]:
    """Private values, their seed and their commitments; a few dozen different ones serve for any number of entries."""
    values: dict[str, str | None] = {
        "/admin_username": f"admin-{variant}@example.com",
        "/changes": '{"value": {"from": "a\\\\b", "to": 1e308}}' if variant % 5 == 0 else None,
        "/details": f'{{"reason":"line\\none \\"{variant}\\"", "path": "C:\\\\temp", "n": {variant}}}',
        "/ip_address": _ADDRESSES[variant % 3],
        "/user_agent": _AGENTS[variant % 4],
    }
    if details is not None:
        values = {**dict.fromkeys(values), "/details": details}
    seed = hashlib.sha256(b"seed" + str((variant, details)).encode()).digest()
    commits = {path: commit(salt_of(seed, path), path, value) for path, value in values.items() if value is not None}
    return values, seed, commits


def _row(index: int, leaf: dict[str, object], values: dict[str, str | None], moment: datetime) -> dict[str, str | None]:
    actor, target = leaf["actor"], leaf["target"]
    assert isinstance(actor, dict)
    assert isinstance(target, dict)
    told = moment.isoformat(sep=" ", timespec="microseconds")
    same = ("event_id", "action", "outcome", "severity", "request_id", "operation_id", "trace_id", "source", "producer")
    row: dict[str, str | None] = {"sequence": str(index), "recorded_at": told[:-3], "id": str(leaf["entry_id"])}
    row |= {name: None if leaf[name] is None else str(leaf[name]) for name in same}
    row |= {column: values[path] for path, column in PATHS.items()}
    number = leaf["producer_seq"]
    row |= {
        "event_type": str(leaf["type"]), "actor_type": actor["type"], "target_type": target["type"],
        "target_id": target["id"], "admin_user_id": actor["id"], "created_at": told[:-3],
        "producer_seq": None if number is None else str(number), "words": "'word':1",
    }  # fmt: skip
    return row
