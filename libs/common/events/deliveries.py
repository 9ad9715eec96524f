"""Messages about what is sent to one person: a link or a notice, asked for by the gateway, and what became of it.

Address, name and what they are told travel sealed to the notifications service (`libs.common.sealing`), as the JSON of
`LinkMail` or `NoticeMail`. Nothing else of a person is in these messages but their account's id.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from libs.common.events.catalog import CommandData, MessageData, OutcomeData

_SOURCE = "/reeve/notifications"
_ID = "0199a0c0-0000-7000-8000-000000000001"
_SENT: dict[str, Any] = {"delivery_id": _ID, "channel": "email", "kind": "activation", "user_id": _ID}

ADDRESS_PATTERN = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
"""As accounts have them: nothing in it can end a header, an address or a command."""

LinkKind = Literal["activation", "password_reset"]
Kind = Literal["activation", "password_reset", "notice"]
NoticeKind = Literal[
    "new_device", "password_changed", "password_reset", "factor_enrolled", "factor_removed", "recovery_code_used",
    "sessions_ended",
]  # fmt: skip
"""What people are told of their own accounts."""
MOST_LINES = 20
"""Notices that one letter tells one by one."""
Channel = Literal["email", "console"]
Deed = Literal["send_link", "send_notice"]
"""What the audit log calls it, by its kind."""
Url = Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[!-~]+$")]
PlainLine = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class LinkMail(BaseModel):
    """What is sealed: to whom, and which link. No member can hold a line break, so none can add a header."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Annotated[str, StringConstraints(max_length=254, pattern=ADDRESS_PATTERN)]
    name: PlainLine
    url: Url


class NoticeLine(BaseModel):
    """Something happened to an account: when, and from which network by which program where that is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: NoticeKind
    at: AwareDatetime
    network: PlainLine | None = None
    device: PlainLine | None = None


class NoticeMail(BaseModel):
    """What is sealed of notices: to whom, what happened, oldest first, how much `more`, and where their sessions are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Annotated[str, StringConstraints(max_length=254, pattern=ADDRESS_PATTERN)]
    name: PlainLine
    lines: Annotated[list[NoticeLine], Field(min_length=1, max_length=MOST_LINES)]
    more: Annotated[int, Field(ge=0)] = 0
    url: Url | None = None


class SendLink(CommandData):
    """Send somebody a link that works once. After `expires_at` there is no more use in it."""

    TYPE: ClassVar[str] = "reeve.command.link.send.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "send_link"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "send_link", "kind": "activation", "user_id": _ID, "expires_at": "2026-01-04T00:00:00Z",
        "sealed": "c2VhbGVkIHRvIHRoZSBub3RpZmljYXRpb25zIHNlcnZpY2U=",
    }  # fmt: skip

    action: Literal["send_link"] = "send_link"
    kind: LinkKind
    user_id: str
    expires_at: AwareDatetime
    sealed: Annotated[str, StringConstraints(max_length=8000)]


class SendNotice(CommandData):
    """Tell somebody what happened to their account: by mail, and by a notification that is theirs alone."""

    TYPE: ClassVar[str] = "reeve.command.notice.send.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "send_notice"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "send_notice", "user_id": _ID, "expires_at": "2026-01-02T00:00:00Z",
        "sealed": "c2VhbGVkIHRvIHRoZSBub3RpZmljYXRpb25zIHNlcnZpY2U=",
    }  # fmt: skip

    action: Literal["send_notice"] = "send_notice"
    user_id: str
    expires_at: AwareDatetime
    sealed: Annotated[str, StringConstraints(max_length=40_000)]


class DeliveryAccepted(OutcomeData):
    """Something is going to be sent to somebody; it is tried until it succeeded, was refused, or is of no more use."""

    TYPE: ClassVar[str] = "reeve.delivery.accepted.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "accept_delivery"
    EXAMPLE: ClassVar[dict[str, Any]] = {**_SENT, "status": 202, "expires_at": "2026-01-04T00:00:00Z"}

    delivery_id: str
    channel: Channel
    kind: Kind
    user_id: str
    expires_at: datetime


class DeliverySent(MessageData):
    """It was handed over: the mail server answered for it, or it was printed. Whether it was read, nobody knows."""

    TYPE: ClassVar[str] = "reeve.delivery.sent.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "send_link"
    EXAMPLE: ClassVar[dict[str, Any]] = {**_SENT, "attempts": 1}

    delivery_id: str
    channel: Channel
    kind: Kind
    user_id: str
    attempts: int
    action: Deed = "send_link"


class DeliveryFailed(MessageData):
    """It was given up: refused for good, or of no more use before it could be sent. `reason` names no address."""

    TYPE: ClassVar[str] = "reeve.delivery.failed.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "send_link"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        **_SENT, "attempts": 1, "reason": "the server answered 550", "outcome": "failure",
    }  # fmt: skip

    delivery_id: str
    channel: Channel
    kind: Kind
    user_id: str
    attempts: int
    reason: str
    outcome: Literal["failure"] = "failure"
    action: Deed = "send_link"
