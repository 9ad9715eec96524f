"""Sinks as a test sees them: set up by command, streamed turn by turn, looked at over the service's routes."""

import base64
from datetime import UTC, datetime
from typing import Any

import orjson

from libs.common.delivery.commands import CommandHandler
from libs.common.egress.destinations import Network
from libs.common.errors import ReeveError
from libs.common.events.catalog import CommandData, new_event
from libs.common.events.envelope import Event
from libs.common.events.sinks import ChangeSink, CreateSink, DeleteSink, SinkDefinition, TestSink
from libs.common.identity import Origin
from libs.common.keys import load_or_create_secret, load_or_create_x25519
from libs.common.sealing import Locker, Unsealer, seal
from services.audit.app import SEALING_KEY
from services.audit.commands.sinks import SinkCommands
from services.audit.objects.storage import ObjectStorage
from services.audit.sending.s3 import S3Sender
from services.audit.sending.syslog import SyslogSender
from services.audit.sending.webhook import WebhookSender
from services.audit.streamer import Streamer
from tests.integration.audit.archive import ADMIN, Archive, Built
from tests.support import s3_server
from tests.support.receivers import SyslogReceiver

PLAIN = b"a secret of 24 bytes and more"
SECRET = f"whsec_{base64.b64encode(PLAIN).decode()}"

USUAL_SECRETS = {"https": PLAIN, "s3": s3_server.SECRET.encode()}


class Sinks:
    """One archive's sinks, and those who send for them."""

    def __init__(self, built: Built, archive: Archive, *, allowed: tuple[Network, ...]) -> None:
        self.built = built
        self.archive = archive
        self.allowed = allowed
        self.unsealer = Unsealer(load_or_create_x25519(built.config.keys / SEALING_KEY))
        self.locker = Locker(load_or_create_secret(built.config.keys / "audit.sinks"))
        self.closing: list[WebhookSender | ObjectStorage] = []
        self.usual: Streamer | None = None

    def streamer(self, **given: Any) -> Streamer:
        """A new one, as another process would have it; it waits for nothing after a failure."""
        allowed = given.pop("allowed", self.allowed)
        webhooks = WebhookSender(allowed)
        storage = ObjectStorage(allowed, trusts_loopback=False, clock=given.pop("clock", lambda: datetime.now(UTC)))
        self.closing += [webhooks, storage]
        made: dict[str, Any] = {
            "pause": lambda failures, retry_after_seconds: retry_after_seconds or 0.0,
            "send_seconds": 5.0,
        }
        return Streamer(
            self.built.database, syslog=SyslogSender(allowed), webhooks=webhooks, objects=S3Sender(storage),
            locker=self.locker, **{**made, **given},
        )  # fmt: skip

    async def stream(self, streamer: Streamer | None = None, *, turns: int = 1000) -> None:
        """Do what is due, by one streamer that stays the same, until nothing is or the turns are over."""
        streamer = self.usual = streamer or self.usual or self.streamer()
        while due := await streamer.due():
            for sink_id in due:
                more = True
                while more and turns > 0:
                    more = await streamer.turn(sink_id)
                    turns -= 1
            if turns <= 0:
                return

    async def create(self, target: dict[str, Any], **given: Any) -> dict[str, Any]:
        """A new sink from the beginning of the log on; its body."""
        secret = given.pop("secret", USUAL_SECRETS.get(target["kind"]))
        starts = given.pop("starts", "beginning")
        definition = SinkDefinition(**{"name": "SIEM", "target": target, **given})
        data = CreateSink(definition=definition, sealed_secret=self.sealed(secret), starts=starts, origin=Origin())
        body: dict[str, Any] = (await self.apply(data)).data["result"]
        return body

    async def change(self, sink: dict[str, Any], **given: Any) -> dict[str, Any]:
        """Another definition; its body."""
        outer = {name: given.pop(name) for name in ("starts", "expected_version") if name in given}
        secret = given.pop("secret", None)
        kept = {name: sink[name] for name in ("name", "target", "format", "filters", "is_enabled")}
        data = ChangeSink(
            sink_id=sink["id"],
            definition=SinkDefinition(**{**kept, **given}),
            sealed_secret=self.sealed(secret),
            **outer,
        )
        body: dict[str, Any] = (await self.apply(data)).data["result"]
        return body

    async def delete(self, sink: dict[str, Any], **given: Any) -> Event:
        """Give one up."""
        return await self.apply(DeleteSink(sink_id=sink["id"], **given))

    async def ask_test(self, sink: dict[str, Any]) -> Event:
        """Ask for a test."""
        return await self.apply(TestSink(sink_id=sink["id"]))

    async def view(self, sink: dict[str, Any]) -> dict[str, Any]:
        """How one does."""
        found = await self.archive.get(f"/sinks/{sink['id']}", permission="roles:write")
        assert found.status_code == 200, found.text
        body: dict[str, Any] = found.json()
        return body

    async def apply(self, data: CommandData) -> Event:
        """Apply a command as its consumer does, in one transaction; the outcome event."""
        handlers = SinkCommands(unsealer=self.unsealer, locker=self.locker, allowed=self.allowed).handlers()
        handler: CommandHandler = handlers[data.TYPE]
        command = new_event(data, subject=None, actor_id=ADMIN, actor_type="admin")
        async with self.built.database.transaction() as session:
            [outcome] = await handler(session, [command])
        return outcome

    async def refusal(self, data: Any) -> ReeveError:
        """How something that is awaited is refused."""
        try:
            await data
        except ReeveError as error:
            return error
        raise AssertionError("it was not refused")

    def sealed(self, secret: bytes | None) -> str | None:
        """A secret on its way to the audit service."""
        return None if secret is None else seal(self.unsealer.public_key, secret)

    async def told(self, kind: str) -> list[dict[str, Any]]:
        """The data of the events of a type that wait in the outbox."""
        rows = await self.archive.rows("SELECT body FROM outbox WHERE type = $1 ORDER BY position", kind)
        return [orjson.loads(row["body"])["data"] for row in rows]

    async def close(self) -> None:
        """Close all connections."""
        for one in self.closing:
            await one.close()


def syslog_of(receiver: SyslogReceiver, **given: Any) -> dict[str, Any]:
    """The target of a receiver, over plain TCP unless told otherwise."""
    return {"kind": "syslog", "host": "127.0.0.1", "port": receiver.port, "tls": False, **given}


def https_of(url: str) -> dict[str, Any]:
    """The target of a URL."""
    return {"kind": "https", "url": url}
