"""An entry as a syslog message: RFC 5424, framed by counted octets (RFC 6587, 3.4.1; RFC 5425, 4.3). Pure."""

import re

from libs.common.events.envelope import rfc3339
from services.audit.models.sinks import Outgoing

LOG_AUDIT = 13
"""The facility "log audit"."""
SEVERITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6}
APP_NAME = "reeve-audit"
SD_ID = "reeve@32473"
"""32473 is the enterprise number that RFC 5612 sets aside; whoever reads it needs no other."""
NIL = "-"
MOST_HOSTNAME, MOST_MSGID = 255, 32
BOM = b"\xef\xbb\xbf"
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ESCAPED = re.compile(r'(["\\\]])')


def message(entry: Outgoing, *, hostname: str) -> bytes:
    """The message of an entry: its action as MSGID, its place and id as structured data, its JSON as UTF-8 text."""
    priority = LOG_AUDIT * 8 + SEVERITIES[entry.severity]
    head = (
        f"<{priority}>1 {rfc3339(entry.created_at)} {_name(hostname, MOST_HOSTNAME)} {APP_NAME} {NIL}"
        f" {_name(entry.action, MOST_MSGID)}"
        f" [{SD_ID} sequence={_quoted(str(entry.sequence))} id={_quoted(entry.id)} action={_quoted(entry.action)}] "
    )
    return head.encode() + BOM + entry.body


def framed(text: bytes) -> bytes:
    """A message after its length in octets."""
    return b"%d %s" % (len(text), text)


def _name(text: str, most: int) -> str:
    """Printable ASCII without blanks, cut to its bound."""
    return _NOT_PRINTABLE.sub("?", text)[:most] or NIL


def _quoted(text: str) -> str:
    escaped = _ESCAPED.sub(r"\\\1", _CONTROL.sub("?", text))
    return f'"{escaped}"'
