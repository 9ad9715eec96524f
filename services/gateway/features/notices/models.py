"""How often somebody is told of their own account, and what of several notices a letter says. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from libs.common.events.deliveries import MOST_LINES, NoticeKind, NoticeLine, NoticeMail
from services.gateway.features.links.models import Recipient

MOST_IN_AN_HOUR = 5
"""Letters with notices to one person within an hour; what comes beyond waits, and comes as one."""
MOST_WAITING = 50
"""Notices of one person that wait; further ones are not kept."""
LIFE = timedelta(days=1)
"""After this a notice is of no more use to whoever was not reached."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something happened to somebody's account."""

    id: str
    kind: NoticeKind
    details: Mapping[str, Any]
    created_at: datetime


def mail_of(recipient: Recipient, notices: Sequence[Notice], *, public_url: str | None) -> NoticeMail:
    """One letter of all of them, the newest `MOST_LINES` one by one and the others counted. Raises `ValueError` for a
    recipient to whom no mail can be made."""
    told = notices[-MOST_LINES:]
    return NoticeMail(
        address=recipient.address,
        name=recipient.name,
        lines=[
            NoticeLine(kind=one.kind, at=one.created_at, network=one.details.get("network"), device=one.details.get("device"))
            for one in told
        ],
        more=len(notices) - len(told),
        url=f"{public_url}/sessions" if public_url is not None else None,
    )  # fmt: skip
