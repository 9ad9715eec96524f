"""A deliverer as a process of its own, so that it can be killed.

It reads the database's URL, the URL of the mail server and the private key in hexadecimal digits from its command line,
and ends when nothing is due.
"""

import asyncio
from collections.abc import Sequence

from libs.common.database.engine import Database
from libs.common.sealing import Unsealer
from services.notifications.channels.email import EmailChannel, server_of
from services.notifications.config import address_of
from services.notifications.deliverer import Deliverer


async def main(url: str, smtp_url: str, key: str) -> None:
    """Send what is due."""
    database = Database(url, schema="notifications", application="deliverer")
    channel = EmailChannel(server_of(smtp_url), address_of("reeve@mail.example.com"))
    deliverer = Deliverer(database, channel, Unsealer(bytes.fromhex(key)))
    while await deliverer.deliver_next():
        pass
    await database.close()


def cli(arguments: Sequence[str]) -> None:
    """Run with this command line."""
    url, smtp_url, key = arguments
    asyncio.run(main(url, smtp_url, key))
