"""What a mail says, with a link or with notices, as plain text and as HTML. Pure.

The subject is ours alone. What somebody chose, their name or program, stands in the body: as plain text, and escaped.
"""

from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import assert_never

from libs.common.events.deliveries import LinkKind, LinkMail, NoticeKind, NoticeLine, NoticeMail
from services.notifications.channels.outcomes import Outgoing


@dataclass(frozen=True, slots=True)
class Letter:
    """A subject of one line, and the body twice."""

    subject: str
    plain: str
    html: str


_SUBJECTS: dict[LinkKind, str] = {"activation": "Activate your account", "password_reset": "Choose another password"}
_WHY: dict[LinkKind, str] = {
    "activation": "An account was made for you. Open this link to choose its password:",
    "password_reset": "Somebody, you we hope, asked to choose another password for your account. This link lets you:",
}
_ELSE: dict[LinkKind, str] = {
    "activation": "If you expect no account, leave this mail alone: nothing happens without the link.",
    "password_reset": "If it was not you, leave this mail alone: your password stays as it is.",
}
_HAPPENED: dict[NoticeKind, str] = {
    "new_device": "Sign-in from a new device",
    "password_changed": "Your password was changed",
    "password_reset": "Your password was reset by a link",
    "factor_enrolled": "A second factor was added",
    "factor_removed": "Your second factor was removed",
    "recovery_code_used": "A recovery code was used to sign in",
    "sessions_ended": "An administrator ended your sessions",
}
_NOT_YOU = "If this was not you, end your sessions, choose another password, and tell an administrator."


def letter_of(outgoing: Outgoing) -> Letter:
    """The letter of something on its way. Times are said in UTC, to the minute."""
    match outgoing.mail:
        case LinkMail():
            return _of_link(
                outgoing.mail, "activation" if outgoing.kind == "activation" else "password_reset", outgoing.expires_at
            )
        case NoticeMail():
            return _of_notices(outgoing.mail)
        case _:
            assert_never(outgoing.mail)


def title_of(mail: NoticeMail) -> str:
    """One line that says what happened; nothing of it was chosen by anybody."""
    kinds = {one.kind for one in mail.lines}
    if len(kinds) == 1 and not mail.more:
        return _HAPPENED[mail.lines[-1].kind]
    return f"{len(mail.lines) + mail.more} things happened to your account"


def line_of(line: NoticeLine) -> str:
    """One thing that happened: when, what, and from where as far as that is told."""
    places = [f"by {line.device}"] if line.device is not None else []
    places += [f"in the network {line.network}"] if line.network is not None else []
    where = f", {' '.join(places)}" if places else ""
    return f"{line.at:%Y-%m-%d %H:%M} UTC: {_HAPPENED[line.kind]}{where}."


def _of_link(mail: LinkMail, kind: LinkKind, expires_at: datetime) -> Letter:
    until = f"It works once, until {expires_at:%Y-%m-%d %H:%M} UTC."
    plain = f"Hello {mail.name},\n\n{_WHY[kind]}\n\n{mail.url}\n\n{until}\n{_ELSE[kind]}\n"
    url = escape(mail.url, quote=True)
    html = (
        f"<!doctype html><html><body><p>Hello {escape(mail.name)},</p><p>{escape(_WHY[kind])}</p>"
        f'<p><a href="{url}">{url}</a></p><p>{escape(until)}<br>{escape(_ELSE[kind])}</p></body></html>\n'
    )
    return Letter(_SUBJECTS[kind], plain, html)


def _of_notices(mail: NoticeMail) -> Letter:
    lines = [line_of(one) for one in reversed(mail.lines)]
    lines += [f"And {mail.more} more."] if mail.more else []
    sessions = f"Your sessions: {mail.url}\n" if mail.url is not None else ""
    plain = f"Hello {mail.name},\n\n{chr(10).join(lines)}\n\n{_NOT_YOU}\n{sessions}"
    url = escape(mail.url, quote=True) if mail.url is not None else ""
    link = f'<p>Your sessions: <a href="{url}">{url}</a></p>' if url else ""
    html = (
        f"<!doctype html><html><body><p>Hello {escape(mail.name)},</p><ul>"
        f"{''.join(f'<li>{escape(one)}</li>' for one in lines)}</ul><p>{escape(_NOT_YOU)}</p>{link}</body></html>\n"
    )
    return Letter(title_of(mail), plain, html)
