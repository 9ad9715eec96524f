"""Almost every leaf is read by one expression: it may know no leaf that parsing refuses, and none otherwise than parsing."""

import base64
import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.leaves import read_leaf
from services.audit.verifier.ordinary import GROUPS, PATHS, TOLD, ordinary

TIME = "2026-03-01T12:00:00.000250Z"
COMMITMENT = base64.b64encode(bytes(range(32))).decode()
LEAF: dict[str, object] = {
    "action": "update_setting", "actor": {"id": "admin-1", "type": "admin"},
    "commits": {"/details": COMMITMENT, "/ip_address": COMMITMENT}, "entry_id": "entry-1", "event_id": "event-1",
    "index": 7, "occurred_at": TIME, "operation_id": None, "outcome": "success", "producer": "gateway", "producer_seq": 3,
    "public": None, "received_at": TIME, "request_id": "request-1", "severity": "info", "source": "/reeve/gateway",
    "target": {"id": "schlüssel-3😀", "type": "setting"}, "trace_id": "0", "type": "reeve.setting.changed.v1", "v": 1,
}  # fmt: skip
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({"type": "x"})
MEMBERS = [*LEAF, "actor.id", "actor.type", "target.id", "target.type", "more", "actor.more"]


def written(leaf: object) -> str:
    return json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hold_against_parsing(text: str) -> bool:
    """Whether a text is ordinary; then parsing says the same of it."""
    said = ordinary(text)
    if said is None:
        return False
    found = dict(zip(GROUPS, said, strict=True))
    leaf = read_leaf(text.encode(), int(found["index"] or ""))
    assert leaf.public is None
    assert (leaf.type, leaf.producer, leaf.occurred_at, leaf.received_at) == tuple(
        found[name] for name in ("type", "producer", "occurred_at", "received_at")
    )
    assert leaf.producer_seq == (None if found["producer_seq"] is None else int(found["producer_seq"]))
    assert leaf.commits == {path: found[path] for path in PATHS if found[path] is not None}
    assert leaf.told == tuple(found[name] for name in TOLD)
    return True


def test_a_leaf_as_the_log_writes_it_is_ordinary() -> None:
    assert hold_against_parsing(written(LEAF))


@pytest.mark.parametrize("count", range(len(PATHS) + 1))
def test_every_choice_of_commitments_is_ordinary(count: int) -> None:
    for paths in combinations(PATHS, count):
        assert hold_against_parsing(written(LEAF | {"commits": dict.fromkeys(paths, COMMITMENT)}))


@given(st.sampled_from(MEMBERS), ANYTHING)
def test_another_value_is_read_as_parsing_reads_it(member: str, value: object) -> None:
    leaf = json.loads(json.dumps(LEAF))
    outer, _, inner = member.partition(".")
    (leaf[outer] if inner else leaf)[inner or outer] = value
    hold_against_parsing(written(leaf))


@pytest.mark.parametrize("number", [0, 10**15 - 1, 10**15, 2**53, 2**53 + 1, 2**64])
def test_numbers_are_those_of_parsing(number: int) -> None:
    assert hold_against_parsing(written(LEAF | {"producer_seq": number})) == (number < 10**15)


@pytest.mark.parametrize("put", ["", '"', ",", "\\", " ", "0", "9", "-", "{", "}", ":", "\n", "\x7f", "é", "٣", "/"])
def test_no_character_more_less_or_other_makes_a_difference(put: str) -> None:
    text = written(LEAF)
    for at in range(len(text)):
        for behind in (at, at + 1):
            hold_against_parsing(text[:at] + put + text[behind:])


def test_members_that_change_places_or_come_again_make_no_difference() -> None:
    parts = written(LEAF)[1:-1].split(',"')
    for one in range(len(parts)):
        for other in range(len(parts)):
            moved = [*parts]
            moved.insert(other, parts[one] if one % 2 else moved.pop(one))
            hold_against_parsing("{" + ',"'.join(moved) + "}")
