"""Whether a password may be chosen: a few rules of our own, then lists of passwords that others know.

A list that cannot be asked refuses nobody: it is a hint, and its server is somebody else's. That is counted and logged.
"""

from collections.abc import Sequence
from hashlib import sha1

from prometheus_client import Counter

from libs.common import logs
from libs.common.errors import Invalid
from services.gateway.access.breaches import BreachList, BreachListUnavailable
from services.gateway.access.weakness import normalized, weakness

CHECKS = Counter(
    "reeve_breach_list_checks_total",
    "Passwords held against lists of breaches, by list and answer.",
    ("list", "result"),
)

log = logs.get("passwords")


class PasswordPolicy:
    """What a new password is held against. Passwords that are in use are not looked at again."""

    def __init__(self, lists: Sequence[BreachList] = ()) -> None:
        self._lists = tuple(lists)

    async def check(self, password: str, *, email: str, name: str, member: str) -> None:
        """Raise 422 `weak_password` or `breached_password`, which says of the body's `member` what is wrong with it."""
        reason = weakness(password, email=email, name=name)
        if reason is not None:
            raise _refused("weak_password", reason, member)
        if await self.is_breached(password):
            raise _refused("breached_password", "it was found in a breach, so others try it; choose another", member)

    async def is_breached(self, password: str) -> bool:
        """Whether a list holds it. False where none could be asked."""
        # The lists are of SHA-1; it protects nothing here.
        text = normalized(password).encode("utf-8", "surrogatepass")
        digest = sha1(text, usedforsecurity=False).hexdigest().upper()
        for one in self._lists:
            try:
                is_held = await one.holds(digest)
            except BreachListUnavailable as error:
                CHECKS.labels(one.name, "unavailable").inc()
                log.warning("breach list not asked", list=one.name, reason=str(error))
                continue
            CHECKS.labels(one.name, "breached" if is_held else "clean").inc()
            if is_held:
                return True
        return False


def _refused(code: str, reason: str, member: str) -> Invalid:
    return Invalid(
        f"the password is refused: {reason}", code=code, errors=[{"loc": ["body", member], "msg": reason, "type": code}]
    )
