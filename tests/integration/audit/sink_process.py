"""Those who send for sinks as a process of its own, so that it can be killed.

It reads the database's URL and the folder of the keys from its command line and ends when nothing is due.
"""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from libs.common.database.engine import Database
from libs.common.keys import load_or_create_secret
from libs.common.sealing import Locker
from services.audit.objects.storage import ObjectStorage
from services.audit.sending.s3 import S3Sender
from services.audit.sending.syslog import SyslogSender
from services.audit.sending.webhook import WebhookSender
from services.audit.streamer import Streamer


async def main(url: str, keys: Path) -> None:
    """Do what is due, in small batches; a failure is tried again at once."""
    database = Database(url, schema="audit", application="sinks")
    allowed = (ip_network("127.0.0.0/8"),)
    webhooks, storage = WebhookSender(allowed), ObjectStorage(allowed, trusts_loopback=False)
    streamer = Streamer(
        database, syslog=SyslogSender(allowed), webhooks=webhooks, objects=S3Sender(storage),
        locker=Locker(load_or_create_secret(keys / "audit.sinks")), most_entries=10, most_object_entries=10, lease_seconds=6.0, send_seconds=5.0,
        pause=lambda failures, retry_after_seconds: 0.0,
    )  # fmt: skip
    while due := await streamer.due():
        for sink_id in due:
            while await streamer.turn(sink_id):
                pass
    await webhooks.close()
    await storage.close()
    await database.close()


def cli(arguments: Sequence[str]) -> None:
    """Run with this command line."""
    url, keys = arguments
    asyncio.run(main(url, Path(keys)))
