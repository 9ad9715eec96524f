"""The way out where no mail server is configured: one line on standard output, for whoever develops.

It is not the log: what is configured to send mails never writes a link anywhere.
"""

import sys
from typing import Literal

from services.notifications.channels.outcomes import Link, Sent

_WHAT = {"activation": "activation link", "password_reset": "password reset link"}


class ConsoleChannel:
    """Prints links."""

    name: Literal["console"] = "console"

    async def send(self, link: Link) -> Sent:
        """Print it. Neither address nor link can hold a control character (`LinkMail`)."""
        until = f"{link.expires_at:%Y-%m-%d %H:%M} UTC"
        sys.stdout.write(f"{_WHAT[link.kind]} for {link.mail.address} (once, until {until}): {link.mail.url}\n")
        sys.stdout.flush()
        return Sent()
