"""Almost every leaf is read by one expression: it may know no leaf that parsing refuses, and none otherwise than parsing."""

import base64
import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.leaves import Flaw, Leaf, parsed, read_leaf
from services.audit.verifier.ordinary import PATHS, ordinary

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


def written(leaf: object) -> bytes:
    return json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def said(data: bytes, *, by_parsing: bool) -> Leaf | str:
    try:
        return parsed(data, 7) if by_parsing else read_leaf(data, 7)
    except Flaw as flaw:
        return str(flaw)


def test_a_leaf_as_the_log_writes_it_is_ordinary() -> None:
    assert ordinary(written(LEAF).decode()) is not None
    assert said(written(LEAF), by_parsing=False) == said(written(LEAF), by_parsing=True)


@pytest.mark.parametrize("count", range(len(PATHS) + 1))
def test_every_choice_of_commitments_is_ordinary(count: int) -> None:
    for paths in combinations(PATHS, count):
        data = written(LEAF | {"commits": dict.fromkeys(paths, COMMITMENT)})
        assert ordinary(data.decode()) is not None
        assert said(data, by_parsing=False) == said(data, by_parsing=True)


@given(st.sampled_from(MEMBERS), ANYTHING)
def test_another_value_is_read_as_parsing_reads_it(member: str, value: object) -> None:
    leaf = json.loads(json.dumps(LEAF))
    outer, _, inner = member.partition(".")
    (leaf[outer] if inner else leaf)[inner or outer] = value
    try:
        data = written(leaf)
    except UnicodeEncodeError:
        return
    assert said(data, by_parsing=False) == said(data, by_parsing=True)


@pytest.mark.parametrize("number", [0, 10**15 - 1, 10**15, 2**53, 2**53 + 1, 2**64])
def test_numbers_are_those_of_parsing(number: int) -> None:
    data = written(LEAF | {"producer_seq": number})
    assert said(data, by_parsing=False) == said(data, by_parsing=True)


@pytest.mark.parametrize("put", ["", '"', ",", "\\", " ", "0", "9", "-", "{", "}", ":", "\n", "\x7f", "é", "٣", "/"])
def test_no_character_more_less_or_other_makes_a_difference(put: str) -> None:
    text = written(LEAF).decode()
    for at in range(len(text)):
        for behind in (at, at + 1):
            changed = (text[:at] + put + text[behind:]).encode()
            assert said(changed, by_parsing=False) == said(changed, by_parsing=True), changed


def test_members_that_change_places_or_come_again_make_no_difference() -> None:
    parts = written(LEAF)[1:-1].split(b',"')
    for one in range(len(parts)):
        for other in range(len(parts)):
            moved = [*parts]
            moved.insert(other, parts[one] if one % 2 else moved.pop(one))
            changed = b"{" + b',"'.join(moved) + b"}"
            assert said(changed, by_parsing=False) == said(changed, by_parsing=True), changed


def test_bytes_that_are_no_text_are_refused_as_by_parsing() -> None:
    changed = written(LEAF).replace(b"gateway", b"gate\xffay", 1)
    assert said(changed, by_parsing=False) == said(changed, by_parsing=True) == "it is not JSON: UnicodeDecodeError"
