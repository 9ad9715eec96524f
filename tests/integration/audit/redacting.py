"""Redactions as a test sees them: asked for by command, carried out step by step with the announcements delivered."""

import asyncio
from typing import Any

from libs.common.database.engine import driver
from libs.common.delivery.commands import CommandHandler
from libs.common.events.catalog import new_event
from libs.common.events.envelope import Event, decode
from libs.common.events.redactions import StartRedaction
from libs.common.identity import Origin
from services.audit.commands.redactions import RedactionCommands
from services.audit.redactor import Redactor
from tests.integration.audit.archive import ADMIN, Archive

SUBJECT = {"subject_type": "user", "subject_id": ADMIN}


class Redacting:
    """Redactions of one archive. `delivered` counts what the audit service's own outbox gave to its log."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.delivered = 0

    async def start(self, *, owner: str = ADMIN, commands: RedactionCommands | None = None, **given: Any) -> Event:
        """Ask for one; the outcome event."""
        data = StartRedaction(
            **{**SUBJECT, "reason": "case 17", "origin": Origin(username="root@example.com"), **given}
        )
        command = new_event(data, subject=None, actor_id=owner, actor_type="admin", correlation_id="request-7")
        handler: CommandHandler = (commands or RedactionCommands()).handlers()[data.TYPE]
        async with self.archive.database.transaction() as session:
            [outcome] = await handler(session, [command])
        return outcome

    async def deliver(self) -> list[Event]:
        """Have what waits in the outbox recorded, numbered, as relay, broker and consumer do."""
        async with self.archive.database.transaction() as session:
            rows = await driver(session).fetch("DELETE FROM outbox RETURNING position, body")
        events = [decode(row["body"]) for row in sorted(rows, key=lambda row: row["position"])]
        numbered = [event._replace(producerseq=self.delivered + n) for n, event in enumerate(events, 1)]
        self.delivered += len(numbered)
        if numbered:
            await self.archive.record(*numbered, producer="audit")
        return numbered

    async def carry_out(self, redactor: Redactor | None = None) -> list[Event]:
        """Run until nothing is left to do; what the service told meanwhile."""
        one, told = redactor or Redactor(self.archive.database), []
        async with asyncio.timeout(60):
            while await self.archive.value("SELECT EXISTS (SELECT FROM redactions WHERE state <> 'succeeded')"):
                await one.turn()
                told += await self.deliver()
        return told

    async def redact(self, **given: Any) -> dict[str, Any]:
        """Ask for one and carry it out; the job as its reader sees it."""
        outcome = await self.start(**given)
        await self.carry_out()
        body: dict[str, Any] = await self.archive.body(f"/redactions/{outcome.data['redaction_id']}")
        assert body["state"] == "succeeded"
        return body
