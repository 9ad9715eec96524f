"""Whether a head is cosigned (C2SP tlog-witness, add-checkpoint): one that this log signed, and that continues the last one. Pure."""

from dataclasses import dataclass

from services.audit.log.checkpoints import Checkpoint
from services.audit.log.notes import NoteRefused, VerifierKey, open_note
from services.audit.log.proofs import is_consistent
from services.audit.log.tree import EMPTY_ROOT
from services.audit.witness.requests import Asked

UNREADABLE, FORBIDDEN, UNKNOWN, UNPROVEN = 400, 403, 404, 422


@dataclass(frozen=True, slots=True)
class Accepted:
    """The head continues the last one; `text` is what is cosigned."""

    checkpoint: Checkpoint
    text: str


@dataclass(frozen=True, slots=True)
class Behind:
    """The log takes the witness to be at another size than it is; it may ask again with a proof from `size`."""

    size: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The head is not cosigned: the status that the protocol has for it, and why."""

    status: int
    reason: str


def judge(asked: Asked, key: VerifierKey, last: Checkpoint | None) -> Accepted | Behind | Refused:
    """What becomes of a request, in the order of the protocol's checks; `last` was cosigned before, if any was."""
    try:
        text = open_note(asked.note, key)
    except NoteRefused as refused:
        return Refused(FORBIDDEN, str(refused))
    try:
        head = Checkpoint.parse(text)
    except NoteRefused as refused:
        return Refused(UNREADABLE, str(refused))
    if asked.old > head.size:
        return Refused(UNREADABLE, f"old is {asked.old}, and the checkpoint has {head.size} leaves")
    known = last.size if last is not None else 0
    if asked.old != known:
        return Behind(known)
    reason = _flaw(asked, head, last)
    return Accepted(head, text) if reason is None else Refused(UNPROVEN, reason)


def _flaw(asked: Asked, head: Checkpoint, last: Checkpoint | None) -> str | None:
    """Why a head does not continue the last one, or None."""
    if head.size == 0 and head.root != EMPTY_ROOT:
        return "a checkpoint of no leaves has the root of the empty tree"
    if asked.old == 0 or last is None:
        return "there is nothing to prove from size 0" if asked.proof else None
    if not is_consistent(old=last.size, old_root=last.root, new=head.size, new_root=head.root, proof=asked.proof):
        return f"this does not prove that the checkpoint continues the one of {last.size} leaves that was cosigned"
    return None
