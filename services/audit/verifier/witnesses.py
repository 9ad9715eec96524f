"""Whether enough witnesses cosigned the newest head, or one that all but the log's last moments lie under.

A log signs a head each second and has one cosigned every few seconds, so the very newest head of a live log is seldom cosigned
yet. What counts is how much younger than the newest cosigned head the last entry is, by the witnesses' clocks: whoever signs
in the log's name, but cannot make them cosign, can make up no more than that.
"""

from collections.abc import Sequence
from typing import NamedTuple

from services.audit.verifier.clock import seconds_of
from services.audit.verifier.findings import Findings, Kind
from services.audit.verifier.heads import Head, Opened
from services.audit.verifier.notes import VerifierKey

LONGEST_LAG_SECONDS = 120.0
MOST_KEPT = 4096
"""Cosigned heads that are thought of at once: the newest."""


class Policy(NamedTuple):
    """Whose cosignatures are asked for, how many of them, and how many seconds of the log may lie behind them."""

    keys: Sequence[VerifierKey]
    quorum: int
    longest_lag: float = LONGEST_LAG_SECONDS


NOBODY = Policy((), 0)


class Witnessed(NamedTuple):
    """The newest head that a quorum cosigned: its size, by whom, and how many were asked for."""

    size: int
    by: Sequence[str]
    quorum: int


class Witnesses:
    """Who cosigned which heads, in whatever order these come."""

    def __init__(self, policy: Policy) -> None:
        self.keys = tuple(policy.keys)
        self._policy = policy
        self._times: dict[tuple[int, bytes], dict[str, int]] = {}

    def take(self, opened: Opened) -> None:
        """Take in a head that the log signed; the same one may come with cosignatures of others."""
        if opened.head is None or not opened.is_signed or not opened.cosigned:
            return
        times = self._times.setdefault((opened.head.size, opened.head.root), {})
        for one in opened.cosigned:
            times[one.witness] = max(one.time, times.get(one.witness, 0))
        if len(self._times) > 2 * MOST_KEPT:
            self._times = {head: self._times[head] for head in sorted(self._times)[-MOST_KEPT:]}

    def judge(self, head: Head | None, last_received: str | None, findings: Findings) -> Witnessed | None:
        """All heads came: whether those that are cosigned reach far enough, and the newest of them."""
        if not self.keys or head is None:
            return None
        newest = max((one for one in self._times if len(self._times[one]) >= self._policy.quorum), default=None)
        if newest is None or (newest[0] <= head.size and not self._reaches(newest, head, last_received)):
            findings.add(Kind.SIGNATURE, head.size, self._lacks(head, newest))
        elif newest[0] < head.size:
            findings.leave_out(
                f"cosignatures of the last entries: a quorum of witnesses cosigned the head of size {newest[0]}, not yet {head.size}"
            )
        return None if newest is None else Witnessed(newest[0], sorted(self._times[newest]), self._policy.quorum)

    def _reaches(self, newest: tuple[int, bytes], head: Head, last_received: str | None) -> bool:
        """Whether this head is the log's newest, or the last entry not much younger than its cosignatures."""
        if newest == (head.size, head.root):
            return True
        if newest[0] == head.size or not self._policy.longest_lag or last_received is None:
            return False
        # So many witnesses say that this was the newest head at this time, or later.
        at = sorted(self._times[newest].values(), reverse=True)[self._policy.quorum - 1]
        return seconds_of(last_received) - at <= self._policy.longest_lag

    def _lacks(self, head: Head, newest: tuple[int, bytes] | None) -> str:
        there = self._times.get((head.size, head.root), {})
        missing = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in self.keys if key.name not in there)
        before = "no head is" if newest is None else f"the last that is has size {newest[0]}"
        return (
            f"the head of size {head.size} is not cosigned by {self._policy.quorum} of {len(self.keys)} witnesses, and {before};"
            f" missing: {missing}"
        )
