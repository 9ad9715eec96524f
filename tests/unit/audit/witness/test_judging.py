"""What a witness answers to which head: a table of the protocol's checks, in their order."""

import base64
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.log.checkpoints import Checkpoint, signed_checkpoint
from services.audit.log.notes import SigningKey
from services.audit.log.proofs import consistency_ranges, nodes_of, proof_of
from services.audit.witness.judging import Accepted, Behind, Refused, judge
from services.audit.witness.requests import MOST_HASHES, Asked, Unreadable, parse
from tests.unit.audit.log.trees import Grown

KEY = SigningKey("log.example/audit", Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
OTHER = SigningKey("log.example/audit", Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
TREE = Grown([bytes([number]) for number in range(20)])
FORK = Grown([bytes([number]) for number in range(9)] + [b"rewritten"] * 11)


def root(size: int, tree: Grown = TREE) -> bytes:
    return Grown(tree.bodies[:size]).frontier.root


def head(size: int, tree: Grown = TREE) -> Checkpoint:
    return Checkpoint(KEY.name, size, root(size, tree))


def proof(old: int, new: int, tree: Grown = TREE) -> list[bytes]:
    ranges = consistency_ranges(old, new)
    return proof_of(ranges, Grown(tree.bodies[:new]).hashes(nodes_of(ranges)))


def asked(
    old: int,
    new: int,
    *,
    tree: Grown = TREE,
    hashes: Sequence[bytes] | None = None,
    key: SigningKey = KEY,
    made_up: bytes | None = None,
) -> Asked:
    shown = proof(old, new, tree) if hashes is None and 0 <= old <= new else hashes or []
    return Asked(old, shown, signed_checkpoint(key, size=new, root=made_up or root(new, tree)))  # fmt: skip


@pytest.mark.parametrize("last", [None, 0, 1, 7, 8, 10, 20])
def test_a_head_that_continues_the_last_one_is_accepted(last: int | None) -> None:
    for size in range(last or 0, 21):
        verdict = judge(asked(last or 0, size), KEY.verifier, None if last is None else head(last))
        assert verdict == Accepted(head(size), head(size).text), (last, size)


@pytest.mark.parametrize(
    ("request_made", "last", "status"),
    [
        pytest.param(asked(0, 10, key=OTHER), None, 403, id="another key of the same name"),
        pytest.param(asked(10, 9, key=OTHER), 10, 403, id="the signature is looked at before the sizes"),
        pytest.param(Asked(0, [], asked(0, 10).note.replace("—", "-")), None, 403, id="no line of signature"),
        pytest.param(Asked(0, [], KEY.sign("log.example/audit\nmany\nroots\n")), None, 400, id="no checkpoint"),
        pytest.param(asked(11, 10, hashes=[]), 10, 400, id="old beyond the head"),
        pytest.param(asked(0, 0, made_up=bytes(32)), None, 422, id="an empty tree with another root"),
        pytest.param(asked(0, 0, made_up=bytes(32)), 0, 422, id="an empty tree with another root, seen before"),
        pytest.param(asked(0, 10, hashes=[bytes(32)]), None, 422, id="a proof from nothing"),
        pytest.param(asked(0, 10, hashes=[bytes(32)]), 0, 422, id="a proof from an empty tree"),
        pytest.param(asked(10, 10, tree=FORK), 10, 422, id="two heads of one size"),
        pytest.param(asked(10, 10, hashes=[bytes(32)]), 10, 422, id="the same head with a proof"),
        pytest.param(asked(10, 20, tree=FORK), 10, 422, id="another history"),
        pytest.param(asked(10, 20, hashes=[]), 10, 422, id="no proof"),
        pytest.param(asked(10, 20, hashes=proof(10, 20)[:-1]), 10, 422, id="half a proof"),
        pytest.param(asked(10, 20, hashes=proof(9, 20)), 10, 422, id="a proof from elsewhere"),
        pytest.param(asked(10, 20, made_up=bytes(32)), 10, 422, id="a root that nothing proves"),
        pytest.param(asked(8, 20, tree=FORK, hashes=[]), 8, 422, id="no proof from a full tree"),
    ],
)
def test_what_does_not_is_refused_with_the_status_of_the_protocol(
    request_made: Asked, last: int | None, status: int
) -> None:
    verdict = judge(request_made, KEY.verifier, None if last is None else head(last))
    assert isinstance(verdict, Refused), verdict
    assert verdict.status == status, verdict.reason


@pytest.mark.parametrize(("old", "new", "last"), [(0, 20, 10), (5, 20, 10), (10, 20, None), (12, 20, 10), (0, 5, 10)])
def test_who_takes_the_witness_to_be_elsewhere_is_told_where_it_is(old: int, new: int, last: int | None) -> None:
    known = None if last is None else head(last)
    assert judge(asked(old, new), KEY.verifier, known) == Behind(last or 0)
    # Even a lie is first told where the witness is: only a proof from there can be judged.
    assert judge(asked(old, new, tree=FORK), KEY.verifier, known) == Behind(last or 0)


def body(asked_for: Asked) -> bytes:
    hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in asked_for.proof)
    return f"old {asked_for.old}\n{hashes}\n{asked_for.note}".encode()


@pytest.mark.parametrize("made", [asked(0, 10), asked(10, 20), asked(20, 20)])
def test_a_request_is_read_as_it_was_meant(made: Asked) -> None:
    read = parse(body(made))
    assert (read, read.origin) == (made, "log.example/audit")


GOOD = body(asked(10, 20))


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"\n\n", b"\xff" + GOOD, GOOD[1:], GOOD.replace(b"old 10", b"old 010"), GOOD.replace(b"old 10", b"old -1"),
        GOOD.replace(b"old 10", b"OLD 10"), GOOD.replace(b"old 10", b"old 10 "), GOOD.replace(b"old 10", b"old 99999999999999999999"),
        GOOD.replace(b"old 10\n", b"old 10\r\n"), GOOD.replace(b"old 10\n", b"old 10\nAAAA\n"),
        GOOD.replace(b"old 10\n", b"old 10\nnot base64 at all\n"), GOOD.replace(b"old 10\n", b"old 10\n\xc3\xa9\n"),
        body(Asked(1, [bytes(32)] * (MOST_HASHES + 1), asked(0, 1).note)), GOOD.partition(b"\n\n")[0],
        GOOD.removesuffix(b"\n"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(sent: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(sent)
