"""When sign-in to an account is locked, for whom and for how long: pure.

Failures are counted twice: for the account from one place, and for the account from anywhere. The first lock grows
long, and only whoever failed there meets it. The second stops a guess spread over many addresses; it stays short, and
a place from which the account's owner signed in lately never meets it: so nobody can lock somebody else out for long.
An address without an account is counted and locked alike, so that a lock does not tell which accounts exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from libs.common.errors import RateLimited
from services.gateway.access.addresses import place_of

KNOWN_PLACE_DAYS = 30
FORGOTTEN_AFTER_DAYS = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """How many failures are free, how long the first lock lasts, and how long the longest."""

    free: int
    first_seconds: int
    most_seconds: int

    def lock_seconds(self, failures: int) -> int:
        """How long to lock after so many failures in a row; 0 for not at all. Each further failure doubles it."""
        if failures < self.free:
            return 0
        doublings = min(failures - self.free, 32)
        return min(self.first_seconds << doublings, self.most_seconds)


FROM_ONE_PLACE = Policy(free=5, first_seconds=30, most_seconds=900)
FROM_ANYWHERE = Policy(free=20, first_seconds=5, most_seconds=60)


@dataclass(frozen=True, slots=True)
class Counted:
    """What the failures of one sign-in attempt are counted under: 32 bytes that do not name the account."""

    place: bytes
    account: bytes


def counted_under(email: str, address: str | None) -> Counted:
    """The two counters of a try to sign in as `email` from `address` (an IPv6 address counts as its /64)."""
    name = email.encode("utf-8", "surrogatepass")
    place = sha256(b"place\0" + name + b"\0" + place_of(address).encode()).digest()
    return Counted(place=place, account=sha256(b"account\0" + name).digest())


def is_known_place(address: str | None, seen: Sequence[str | None]) -> bool:
    """Whether the account's owner signed in from there lately, by the addresses of their sessions."""
    return place_of(address) in {place_of(one) for one in seen if one is not None}


def remaining_seconds(*, place: int, account: int, is_known: bool) -> int:
    """How long an attempt has to wait, given what is left of both locks; 0 lets it pass."""
    return place if is_known else max(place, account)


def account_locked(seconds: int) -> RateLimited:
    """The refusal of a try that came too early. It says nothing of whether there is such an account."""
    return RateLimited(
        "too many failed sign-ins; wait before the next one", code="account_locked", retry_after_seconds=seconds
    )
