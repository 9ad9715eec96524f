"""Leaves and commitments by properties: canonical whatever an entry says, opened by the formulas of the format alone."""

import base64
import hmac
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import Event
from services.audit.models.commitments import PATHS, commitments, opens, private_values, salt_of
from services.audit.models.entries import Entry, describe
from services.audit.models.leaves import MOST_LEAF_BYTES, Leaf, instant, leaf_of
from services.audit.models.soundness import COMMITMENT, ENTRY, HASH, MISSING, Stored, problem_of

ENTRY_ID = "0199a0c0-0000-7000-8000-00000000000a"
TEXTS = st.text(max_size=300) | st.text(alphabet='\x01\x1f\x7f"\\/\u2028\ud7ff\U0010ffff', max_size=300)
SEEDS = st.binary(min_size=32, max_size=32)
EVENTS = st.builds(
    Event,
    id=st.text(min_size=1, max_size=255).filter(lambda text: "\0" not in text),
    source=st.sampled_from(["/reeve/gateway", "/platform/shop", "/reeve/audit"]),
    type=st.sampled_from(["reeve.request.recorded.v1", "com.shop.order.placed.v1"]),
    time=st.datetimes(timezones=st.just(UTC)),
    data=st.dictionaries(TEXTS, TEXTS | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False), max_size=5),
    subject=st.none() | TEXTS,
    actorid=st.none() | TEXTS,
    actortype=st.none() | st.sampled_from(["admin", "client", "system", "martian"]),
    producerseq=st.none() | st.integers(0, 10**18 - 1),
)


def made(entry: Entry, **given: Any) -> Leaf:
    """The leaf of an entry at place 7."""
    said: dict[str, Any] = {
        "index": 7, "entry_id": ENTRY_ID, "received_at": "2026-01-31T12:00:00.000000Z", "is_numbered": True,
        "seed": b"\x05" * 32,
    }  # fmt: skip
    return leaf_of(entry, **{**said, **given})


def entry_of(**given: Any) -> Entry:
    """An administrator's request."""
    origin = {"username": "ada@example.com", "ip_address": "2001:DB8::1", "user_agent": "Mozilla/5.0"}
    event = Event(
        id="event-1", source="/reeve/gateway", type="reeve.request.recorded.v1", time=datetime(2026, 1, 31, tzinfo=UTC),
        data={"origin": origin, "changes": {"a": {"old": 1, "new": 2}}}, actorid="admin-1", actortype="admin",
    )  # fmt: skip
    return describe(event, producer="gateway", catalog=CATALOG)._replace(**given)


@given(EVENTS, SEEDS)
def test_a_leaf_is_canonical_json_of_bounded_size_whatever_the_event_says(event: Event, seed: bytes) -> None:
    leaf = made(describe(event, producer="gateway", catalog=CATALOG), seed=seed)
    said = json.loads(leaf.body)
    assert json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() == leaf.body
    assert leaf.hash == sha256(b"\0" + leaf.body).digest()
    assert len(leaf.body) <= MOST_LEAF_BYTES
    assert (said["producer_seq"] or 0) < 2**53
    assert said["public"] is None


@given(EVENTS, SEEDS)
def test_commitments_are_those_of_the_format(event: Event, seed: bytes) -> None:
    entry = describe(event, producer="gateway", catalog=CATALOG)
    found = commitments(entry, seed)
    values = dict(zip(PATHS, private_values(entry), strict=True))
    assert list(found) == [path for path in sorted(values) if values[path] is not None]
    for path, commit in found.items():
        salt = hmac.digest(seed, b"adminlog/salt/v1\0" + path.encode(), "sha256")
        text = b"adminlog/commit/v1\0" + path.encode() + b"\0" + str(values[path]).encode()
        assert base64.b64decode(commit) == hmac.digest(salt, text, "sha256")
        assert salt_of(seed, path) == salt
        assert opens(commit, path=path, salt=salt, value=str(values[path]))
        assert not opens(commit, path=path, salt=salt, value=f"{values[path]}x")


def test_a_longest_entry_fits() -> None:
    long = "\x01" * 255
    entry = entry_of(
        event_id=long, action=long, target_type="\x01" * 100, target_id=long, admin_user_id="\x01" * 128, request_id="\x01" * 128,
        operation_id="\x01" * 128, source="x" * 255, event_type="x" * 255, producer=long,
    )  # fmt: skip
    assert 8_000 < len(made(entry).body) <= MOST_LEAF_BYTES


def test_what_is_spoken_out_may_not_be_longer_than_a_leaf() -> None:
    beat = entry_of(event_type="reeve.audit.heartbeat.v1", source="/reeve/audit", details=json.dumps({"b": 1, "a": 2}))
    assert b'"public":{"a":2,"b":1}' in made(beat).body
    with pytest.raises(ValueError, match="at most"):
        made(beat._replace(details=json.dumps({"a": "x" * MOST_LEAF_BYTES})))


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_has_six_decimals_and_z(moment: datetime) -> None:
    assert datetime.fromisoformat(instant(moment)) == moment
    assert len(instant(moment)) == 27


ERASED_ENTRY = entry_of(admin_username=None, changes=None, details="{}", ip_address=None, user_agent=None)


def stored(entry: Entry, /, **given: Any) -> Stored:
    leaf = made(entry)
    said: dict[str, Any] = {
        "sequence": 7, "body": leaf.body, "leaf_hash": leaf.hash, "entry": entry, "entry_id": ENTRY_ID,
        "seed": leaf.seed, "salts": {}, "lost": frozenset(),
    }  # fmt: skip
    return Stored(**{**said, **given})


def test_what_holds_is_no_problem() -> None:
    assert problem_of(stored(entry_of())) is None


@pytest.mark.parametrize(
    "column",
    [
        name
        for name in Entry._fields
        if name not in {"words", "correlation_id", "actor_id", "producer_seq", "created_at"}
    ],
)
def test_every_member_that_a_leaf_speaks_of_is_watched(column: str) -> None:
    """All but words and correlation; of an administrator's entry the other actor, and numbers of producers, say nothing."""
    entry = entry_of()
    private = f"/{column}" in PATHS
    changed: dict[str, Any] = {column: "other"}
    assert problem_of(stored(entry, entry=entry._replace(**changed))) == (COMMITMENT if private else ENTRY)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"leaf_hash": bytes(32)}, HASH),
        ({"entry": None}, MISSING),
        ({"entry_id": ENTRY_ID.replace("a", "b")}, ENTRY),
        ({"sequence": 8}, ENTRY),
        ({"seed": bytes(32)}, COMMITMENT),
        ({"seed": None}, COMMITMENT),
        ({"seed": None, "lost": frozenset(PATHS)}, COMMITMENT),
        ({"seed": None, "lost": frozenset(PATHS), "entry": ERASED_ENTRY}, None),
        ({"seed": None, "lost": frozenset(PATHS) - {"/details"}}, COMMITMENT),
        ({"seed": None, "salts": {"/details": bytes(32)}}, COMMITMENT),
    ],
)
def test_each_disagreement_has_its_name(given: dict[str, Any], problem: str | None) -> None:
    assert problem_of(stored(entry_of(), **given)) == problem


@pytest.mark.parametrize("path", PATHS)
def test_a_private_member_that_is_gone_is_no_problem_where_its_salt_is_gone_and_the_entry_says_so(path: str) -> None:
    entry = entry_of()
    without: dict[str, Any] = {path[1:]: None}
    gone = entry._replace(**without)
    assert problem_of(stored(entry, entry=gone)) == COMMITMENT
    kept = {other: salt_of(b"\x05" * 32, other) for other in PATHS if other != path}
    lost = frozenset((path,))
    assert problem_of(stored(entry, entry=gone, seed=None, salts=kept, lost=lost)) is None
    assert problem_of(stored(entry, entry=entry, seed=None, salts=kept, lost=lost)) == COMMITMENT
    assert problem_of(stored(entry, entry=gone, lost=lost)) == COMMITMENT
    assert problem_of(stored(entry, entry=gone, seed=None, salts=kept)) == COMMITMENT
