"""The tamper matrix: whatever is done to a stored log, by somebody whom no trigger stops, is named with its kind and place.

Each row says what an intruder does to the log and, for each form of input that can show it, what must be found: the kind
and the first index of that kind, and nothing else.
"""

import base64
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.audit_entries import MadeEntry, commit, salt_of
from tests.support.audit_files import WRITERS
from tests.support.audit_log import MadeCheckpoint, MadeLog, Signer, made_log, root_of
from tests.support.audit_verdicts import first_of_each, verdict_on

SIZE = 1300
OLDER = (256, 900)
SIGNATURE, ROOT, LEAF, MISSING, CONSISTENCY, PRODUCER, COMMITMENT = range(10, 17)
Change = Callable[[MadeLog], None]
Found = Mapping[int, int]


@dataclass(frozen=True)
class Case:
    """One row of the matrix. `found` is by form of input, "all" for those that are not named."""

    what: str
    change: Change
    found: Mapping[str, Found]
    kept: tuple[int, ...] = ()
    """Sizes of heads that the auditor kept from before."""
    checkpoints: tuple[int, ...] = field(default=())


def edit(entry: MadeEntry, **members: object) -> None:
    """Change members of the leaf, and not its stored hash."""
    before = entry.leaf_hash
    entry.leaf.update(members)
    entry.seal()
    entry.leaf_hash = before


def body(log: MadeLog) -> None:
    edit(log.entries[700], outcome="failure")


def time(log: MadeLog) -> None:
    edit(log.entries[1], occurred_at="2020-01-01T00:00:00.000000Z")


def body_and_hash(log: MadeLog) -> None:
    log.entries[700].leaf["outcome"] = "failure"
    log.entries[700].seal()


def leaf_hash_alone(log: MadeLog) -> None:
    log.entries[700].leaf_hash = bytes(32)


def not_canonical(log: MadeLog) -> None:
    log.entries[700].body = log.entries[700].body.replace(b'":"', b'": "', 1)


def up_to_the_root(log: MadeLog) -> None:
    """All that can be changed without the key: the head's text says the new root, under the old signature."""
    body_and_hash(log)
    log.rebuild()
    signature = log.head.note.partition("\n\n")[2]
    forged = Signer().checkpoint(log.size, log.root).partition("\n\n")[0]
    log.checkpoints[-1] = MadeCheckpoint(log.size, log.root, f"{forged}\n\n{signature}")


def stolen_key(log: MadeLog) -> None:
    up_to_the_root(log)
    log.sign([log.size])


def stolen_key_all_heads(log: MadeLog) -> None:
    up_to_the_root(log)
    log.sign([*OLDER, log.size])


def other_key(log: MadeLog) -> None:
    log.signer = Signer("the intruder's")
    stolen_key(log)


def swap(log: MadeLog) -> None:
    one, other = log.entries[400], log.entries[401]
    for name in ("body", "leaf_hash"):
        mine, its = getattr(one, name), getattr(other, name)
        setattr(one, name, its)
        setattr(other, name, mine)


def delete(at: int) -> Change:
    return lambda log: log.remove(at)


def insert(log: MadeLog) -> None:
    """A made-up entry in the middle; those behind it move up, with their bytes as they were."""
    made = copy.deepcopy(log.entries[500])
    log.entries.insert(500, made)
    del log.entries[log.size]


def truncate(count: int) -> Change:
    def cut(log: MadeLog) -> None:
        for _ in range(count):
            log.remove(-1)

    return cut


def roll_back(log: MadeLog) -> None:
    """Yesterday's backup: in itself it holds."""
    truncate(SIZE - 1000)(log)
    log.size = log.counted = 1000
    log.rebuild()
    log.sign([1000])


def second_head(log: MadeLog) -> None:
    """Another log under the same key, for other eyes."""
    log.entries[-1].leaf["outcome"] = "failure"
    log.entries[-1].seal()
    log.rebuild()
    log.sign([log.size])


def detail_value(log: MadeLog) -> None:
    log.entries[333].openings["/details"]["value"] = '{"reason":"another"}'
    log.entries[333].row["details"] = '{"reason":"another"}'


def made_up_value(log: MadeLog) -> None:
    entry = next(one for one in log.entries[320:] if one.row["changes"] is None and one.seed)
    salt = salt_of(entry.seed or b"", "/changes")
    entry.row["changes"] = "{}"
    entry.openings["/changes"] = {"salt": commit(salt, "/changes", "{}"), "value": "{}"}


def swap_salts(log: MadeLog) -> None:
    one, other = log.entries[333], log.entries[334]
    one.seed, other.seed = other.seed, one.seed
    mine, its = one.openings["/details"], other.openings["/details"]
    mine["salt"], its["salt"] = its["salt"], mine["salt"]


def erase_in_silence(log: MadeLog) -> None:
    log.entries[333].seed = None
    for path in log.entries[333].openings:
        log.entries[333].openings[path] = {"erased": True}


def prune_in_silence(log: MadeLog) -> None:
    log.prune(333, 334)


def prune_more_than_was_said(log: MadeLog) -> None:
    log.announce(1201, {"first": 100, "last": 299}, {"type": "com.shop.order.paid", "first": 300, "last": 400})
    log.prune(*range(100, 300), 302, 305, 307)


def prune_in_the_name_of_a_platform(log: MadeLog) -> None:
    log.announce(1201, {"first": 100, "last": 299}, source="/platform/shop")
    log.prune(*range(100, 300))


def prune_all(log: MadeLog) -> None:
    log.announce(1201, {"first": 100, "last": 299})
    log.prune(*range(SIZE))


def drop_the_redaction(log: MadeLog) -> None:
    """With the key at hand: the leaf that tells of the erasure becomes an entry like any other."""
    redaction = log.entries[150]
    redaction.leaf.update(public=None, type="reeve.audit.searched.v1")
    redaction.row["event_type"] = "reeve.audit.searched.v1"
    redaction.seal()
    log.rebuild()
    log.sign([log.size])


def redact_more_than_announced(log: MadeLog) -> None:
    """Beside what a redaction says, one more member of an entry that it names goes."""
    entry = log.entries[109]
    assert entry.salts is not None
    entry.salts = {path: salt for path, salt in entry.salts.items() if path != "/details"}
    entry.openings["/details"] = {"erased": True}


def redact_the_neighbour(log: MadeLog) -> None:
    """The redaction names its neighbours; this one's private members go as well."""
    entry = log.entries[108]
    entry.seed, entry.salts = None, {}
    entry.openings = {path: {"erased": True} for path in entry.openings}


def announce_as_somebody_else(log: MadeLog) -> None:
    """With the key at hand: what announces an erasure is no word of the log's own."""
    redaction = log.entries[150]
    redaction.leaf.update(source="/platform/shop")
    redaction.row["source"] = "/platform/shop"
    redaction.seal()
    log.rebuild()
    log.sign([log.size])


def put_back(log: MadeLog) -> None:
    """An erased member gets a value and a salt again, which its commitment was not made of."""
    entry = log.entries[107]
    path = next(one for one in ("/user_agent", "/ip_address") if one in entry.openings)
    salt = bytes(32)
    entry.salts = {**(entry.salts or {}), path: salt}
    entry.row[path[1:]] = "192.0.2.99"
    entry.openings[path] = {"salt": base64.b64encode(salt).decode(), "value": "192.0.2.99"}


def write_over_the_redacted(log: MadeLog) -> None:
    """Where an erased member was, searches read a value again; nothing opens it."""
    log.entries[107].row["user_agent"] = "made up"


def node(log: MadeLog) -> None:
    log.nodes[8, 2] = bytes(range(32))


def lost_node(log: MadeLog) -> None:
    del log.nodes[8, 4]


def stop_the_heartbeat(log: MadeLog) -> None:
    """With the key at hand: from entry 600 on, heartbeats become entries like any others."""
    for at in range(600, SIZE, 100):
        log.entries[at].leaf.update(public=None, type="reeve.audit.searched.v1")
        log.entries[at].row["event_type"] = "reeve.audit.searched.v1"
        log.entries[at].seal()
    log.rebuild()
    log.sign([log.size])


def renumber(log: MadeLog) -> None:
    """With the key at hand: an entry of the gateway gets the number of the next one."""
    entry = next(one for one in log.entries[700:] if one.leaf["producer"] == "gateway")
    number = entry.leaf["producer_seq"]
    assert isinstance(number, int)
    entry.leaf["producer_seq"] = number + 1
    entry.seal()
    log.rebuild()
    log.sign([log.size])


def suppress(log: MadeLog) -> None:
    """With the key at hand: what the gateway numbered never reached the log, which is whole in itself."""
    entry = next(one for one in log.entries[700:] if one.leaf["producer"] == "gateway")
    entry.leaf["producer_seq"] = None
    entry.seal()
    log.rebuild()
    log.sign([log.size])


MATRIX = [
    Case("edit a body", body, {"all": {LEAF: 700}}),
    Case("change an actor's time", time, {"all": {LEAF: 1}}),
    Case("edit a body and its leaf hash", body_and_hash, {"all": {ROOT: SIZE, LEAF: 512}, "export": {ROOT: SIZE}, "dump": {ROOT: SIZE, LEAF: 512}}),
    Case("edit a leaf hash alone", leaf_hash_alone, {"all": {LEAF: 700}}),
    Case("write a body in another way", not_canonical, {"all": {LEAF: 700}}),
    Case("edit all up to the root", up_to_the_root, {"all": {SIGNATURE: SIZE}, "dump": {SIGNATURE: SIZE, LEAF: 700}}),
    Case("swap two rows", swap, {"all": {ROOT: SIZE, LEAF: 256}, "export": {ROOT: SIZE, LEAF: 400}}),
    Case("delete one", delete(700), {"all": {MISSING: 700}, "tiles": {LEAF: 512, MISSING: 1299}}),
    Case("delete the last", delete(-1), {"all": {MISSING: SIZE - 1}}),
    Case("delete the first", delete(0), {"all": {MISSING: 0}, "tiles": {LEAF: 0, MISSING: 1299}}),
    Case("insert in the middle", insert, {"all": {ROOT: SIZE, LEAF: 256}, "export": {ROOT: SIZE, LEAF: 501}}),
    Case("cut off 1", truncate(1), {"all": {MISSING: SIZE - 1}}),
    Case("cut off 1,000", truncate(1000), {"all": {MISSING: SIZE - 1000}}),
    Case("re-sign with a stolen key, an old head outside", stolen_key, {"all": {CONSISTENCY: 900}, "dump": {LEAF: 700, CONSISTENCY: 900}}, kept=OLDER),
    Case("re-sign all heads with a stolen key", stolen_key_all_heads, {"all": {CONSISTENCY: 900}, "dump": {LEAF: 700, CONSISTENCY: 900}}, kept=OLDER),
    Case("sign with another key", other_key, {"all": {SIGNATURE: SIZE}, "dump": {SIGNATURE: SIZE, LEAF: 700}}),
    Case("roll back by a backup", roll_back, {"all": {CONSISTENCY: 1200}}, kept=(900, 1200)),
    Case("two heads of one size", second_head, {"all": {CONSISTENCY: SIZE}, "dump": {LEAF: 1299, CONSISTENCY: SIZE}}, kept=(SIZE,)),
    Case("change a detail", detail_value, {"all": {COMMITMENT: 333}}),
    Case("make up a detail", made_up_value, {"all": {COMMITMENT: 321}}),
    Case("swap salts", swap_salts, {"all": {COMMITMENT: 333}}),
    Case("erase in silence", erase_in_silence, {"all": {COMMITMENT: 333}}),
    Case("drop the redaction", drop_the_redaction, {"all": {COMMITMENT: 107}}),
    Case("redact more than was announced", redact_more_than_announced, {"all": {COMMITMENT: 109}}),
    Case("redact the neighbour", redact_the_neighbour, {"all": {COMMITMENT: 108}}),
    Case("announce a redaction as somebody else", announce_as_somebody_else, {"all": {COMMITMENT: 107}}),
    Case("put back what was redacted", put_back, {"all": {COMMITMENT: 107}}),
    Case("write over what was redacted", write_over_the_redacted, {"dump": {COMMITMENT: 107}}),
    Case("prune in silence", prune_in_silence, {"dump": {MISSING: 333}}),
    Case("prune more than was said", prune_more_than_was_said, {"dump": {MISSING: 307}}),
    Case("prune in the name of a platform", prune_in_the_name_of_a_platform, {"dump": {MISSING: 100}}),
    Case("prune all", prune_all, {"dump": {MISSING: 0}}),
    Case("corrupt a node", node, {"tiles": {LEAF: 512}, "dump": {LEAF: 512}}),
    Case("lose a node", lost_node, {"tiles": {MISSING: 1024}, "dump": {MISSING: 1024}}),
    Case("stop the heartbeat", stop_the_heartbeat, {"all": {PRODUCER: 500}}),
    Case("renumber a producer", renumber, {"all": {PRODUCER: 701}}),
    Case("suppress an event", suppress, {"all": {PRODUCER: 704}}),
]  # fmt: skip
ROWS = [
    pytest.param(case, form, id=f"{case.what}, {form}")
    for case in MATRIX
    for form in WRITERS
    if form in case.found or "all" in case.found
]


@pytest.fixture(scope="module")
def whole() -> MadeLog:
    """A log that nobody touched."""
    return made_log(SIZE)


@pytest.mark.parametrize(("case", "form"), ROWS)
def test_it_is_named(whole: MadeLog, case: Case, form: str, tmp_path: Path) -> None:
    log = whole.copy()
    signer = log.signer
    kept = [signer.checkpoint(size, root_of(log.hashes(size))) for size in case.kept]
    case.change(log)
    verdict = verdict_on(WRITERS[form](log, tmp_path), signer.vkey, older=kept)
    expected = case.found.get(form, case.found.get("all", {}))
    assert first_of_each(verdict) == expected, verdict.findings
    assert verdict.findings.exit_code() == (next(iter(expected)) if len(expected) == 1 else 1)


@pytest.mark.parametrize("form", WRITERS)
def test_a_log_that_was_pruned_as_it_says_holds(form: str, tmp_path: Path) -> None:
    """By place, and by type: of entries 300 to 400 those of the shop."""
    log = made_log(SIZE)
    log.announce(1201, {"first": 100, "last": 299}, {"type": "com.shop.order.paid", "first": 300, "last": 400})
    shops = [place for place in range(300, 401) if log.entries[place].leaf["type"] == "com.shop.order.paid"]
    log.prune(*range(100, 300), *shops)
    verdict = verdict_on(WRITERS[form](log, tmp_path), log.signer.vkey)
    assert first_of_each(verdict) == {}
    assert verdict.pruned == (len(log.pruned) if form == "dump" else 0)


@pytest.mark.parametrize("form", WRITERS)
def test_without_any_of_it_all_holds(whole: MadeLog, form: str, tmp_path: Path) -> None:
    kept = [whole.signer.checkpoint(size, root_of(whole.hashes(size))) for size in (0, 1, 255, 256, 257, 1024, SIZE)]
    verdict = verdict_on(WRITERS[form](whole, tmp_path), whole.signer.vkey, older=kept)
    assert first_of_each(verdict) == {}
    assert (verdict.entries, verdict.checkpoints) == (SIZE, 7)
