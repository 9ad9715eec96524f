"""The way out where no mail server is configured: one line on standard output, for whoever develops.

It is not the log: what is configured to send mails never writes a link anywhere.
"""

import sys
from typing import Literal

from libs.common.events.deliveries import LinkMail
from services.notifications.channels.letters import letter_of
from services.notifications.channels.outcomes import Outgoing, Sent

_WHAT = {"activation": "activation link", "password_reset": "password reset link"}


class ConsoleChannel:
    """Prints links, and of notices what they are about."""

    name: Literal["console"] = "console"

    async def send(self, outgoing: Outgoing) -> Sent:
        """Print it. Neither address, link nor subject can hold a control character (`LinkMail`, `NoticeMail`)."""
        mail = outgoing.mail
        if isinstance(mail, LinkMail):
            until = f"{outgoing.expires_at:%Y-%m-%d %H:%M} UTC"
            line = f"{_WHAT[outgoing.kind]} for {mail.address} (once, until {until}): {mail.url}"
        else:
            line = f"notice for {mail.address}: {letter_of(outgoing).subject}"
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        return Sent()
