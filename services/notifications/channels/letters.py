"""What a mail with a link says, as plain text and as HTML. Pure.

The subject is ours alone. What somebody chose, their name, stands in the body: as plain text, and escaped.
"""

from dataclasses import dataclass
from datetime import datetime
from html import escape

from libs.common.events.deliveries import Kind, LinkMail


@dataclass(frozen=True, slots=True)
class Letter:
    """A subject of one line, and the body twice."""

    subject: str
    plain: str
    html: str


_SUBJECTS: dict[Kind, str] = {"activation": "Activate your account", "password_reset": "Choose another password"}
_WHY: dict[Kind, str] = {
    "activation": "An account was made for you. Open this link to choose its password:",
    "password_reset": "Somebody, you we hope, asked to choose another password for your account. This link lets you:",
}
_ELSE: dict[Kind, str] = {
    "activation": "If you expect no account, leave this mail alone: nothing happens without the link.",
    "password_reset": "If it was not you, leave this mail alone: your password stays as it is.",
}


def letter_of(kind: Kind, mail: LinkMail, expires_at: datetime) -> Letter:
    """The letter of a link. The end of its life is said in UTC, to the minute."""
    until = f"It works once, until {expires_at:%Y-%m-%d %H:%M} UTC."
    plain = f"Hello {mail.name},\n\n{_WHY[kind]}\n\n{mail.url}\n\n{until}\n{_ELSE[kind]}\n"
    url = escape(mail.url, quote=True)
    html = (
        f"<!doctype html><html><body><p>Hello {escape(mail.name)},</p><p>{escape(_WHY[kind])}</p>"
        f'<p><a href="{url}">{url}</a></p><p>{escape(until)}<br>{escape(_ELSE[kind])}</p></body></html>\n'
    )
    return Letter(_SUBJECTS[kind], plain, html)
