"""Legal holds, as an erasure asks for them."""

from collections.abc import Awaitable, Callable, Sequence

from libs.common.database.engine import Session
from services.audit.models.redactions import Subject

BlockedBy = Callable[[Session, Subject], Awaitable[Sequence[str]]]
"""The names of the holds under which nothing that tells of the subject may be erased; empty where there is none."""


async def blocked_by(session: Session, subject: Subject) -> Sequence[str]:
    """No hold can be put on anything yet."""
    return ()
