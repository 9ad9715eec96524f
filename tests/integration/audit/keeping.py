"""A log that grows old in a moment, and its retention taken step by step."""

from typing import Any

import asyncpg

from libs.common.database.engine import driver
from libs.common.events.catalog import CommandData, new_event
from libs.common.events.envelope import Event, decode
from libs.common.exports.manifest import ManifestSigner
from libs.common.identity import Origin
from libs.common.keys import load_or_create_ed25519
from services.audit.app import signer as signer_of
from services.audit.archives.archivist import Archivist
from services.audit.archives.folder import ArchiveFolder
from services.audit.archives.place import ArchivePlace
from services.audit.commands.retention import RETENTION_COMMANDS
from services.audit.retention import Retention, Turn
from services.audit.signer import Signer
from tests.integration.audit.archive import ADMIN, Archive, Built

DAYS = 365


class Keeper:
    """The log of one schema with its owner, its signer and its retention."""

    def __init__(self, built: Built, archive: Archive, owner: asyncpg.Connection) -> None:
        self.built = built
        self.archive = archive
        self.owner = owner
        self.signer: Signer = signer_of(built.config, built.database)
        self.archivist = self.archiving_in(ArchiveFolder(built.config.archives))
        self.retention = self.with_bounds()

    def archiving_in(self, place: ArchivePlace) -> Archivist:
        """One that keeps its files there."""
        manifests = ManifestSigner(load_or_create_ed25519(self.built.config.keys / "audit.exports.key"))
        return Archivist(
            self.built.database, self.built.config.archives, place, signer=manifests,
            key=self.built.service.app.state.log_key.text,
        )  # fmt: skip

    def with_bounds(self, *, most_archived: int = 100_000, most_pruned: int = 2_000) -> Retention:
        """A retention of small steps."""
        return Retention(
            self.built.database, self.archivist, days=DAYS, most_archived=most_archived, most_pruned=most_pruned
        )

    async def seal(self) -> None:
        """Take everything into the tree and sign its head."""
        await self.archive.sequence()
        await self.signer.turn()

    async def deliver(self) -> list[Event]:
        """What is in the outbox becomes entries under a signed head, as relay, consumer, sequencer and signer make it."""
        rows = await self.owner.fetch("DELETE FROM outbox RETURNING body, position")
        events = [decode(row["body"]) for row in sorted(rows, key=lambda row: row["position"])]
        if events:
            await self.archive.record(*events, producer="audit")
            await self.seal()
        return events

    async def age(self, *, days: int, first: int = 0, last: int = 2**40) -> None:
        """Have entries be recorded so many days ago, in a partition of their own month."""
        await self.owner.execute("ALTER TABLE entries DISABLE TRIGGER USER")
        since, until = await self.owner.fetchrow(
            "SELECT month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC' FROM"
            " (SELECT date_trunc('month', (now() - make_interval(days => $1)) AT TIME ZONE 'UTC') AS month) AS m",
            days,
        )
        name = f"entries_{since:%Y_%m}"
        if not await self.owner.fetchval("SELECT to_regclass($1) IS NOT NULL", f"audit.{name}"):
            await self.owner.execute(
                f"CREATE TABLE {name} PARTITION OF entries FOR VALUES FROM ('{since}') TO ('{until}')"
            )
        await self.owner.execute(
            "UPDATE entries SET recorded_at = now() - make_interval(days => $1) WHERE sequence BETWEEN $2 AND $3",
            days, first, last,
        )  # fmt: skip
        await self.owner.execute("ALTER TABLE entries ENABLE TRIGGER USER")

    async def turns(self, retention: Retention | None = None) -> Turn:
        """Turns until nothing waits; what all of them did."""
        done = Turn(0, 0, 0, 1)
        while done.waiting:
            turn = await (retention or self.retention).turn()
            await self.deliver()
            done = Turn(
                done.archived + turn.archived, done.announced + turn.announced, done.pruned + turn.pruned, turn.waiting
            )
        return done

    async def left(self) -> list[int]:
        """The sequences of the entries that are there."""
        return [row["sequence"] for row in await self.owner.fetch("SELECT sequence FROM entries ORDER BY sequence")]

    async def seeds(self) -> list[int]:
        """The sequences of those whose commitments open."""
        return [row["sequence"] for row in await self.owner.fetch("SELECT sequence FROM log_openings ORDER BY 1")]

    async def ask(self, data: CommandData, *, by: str = ADMIN) -> dict[str, Any]:
        """Apply a command of an administrator's; the data of its outcome."""
        asked = data.model_copy(update={"origin": Origin(username="ada@example.com")})
        command = new_event(asked, subject=None, actor_id=by, actor_type="admin")
        async with self.built.database.transaction() as session:
            [outcome] = await RETENTION_COMMANDS[data.TYPE](session, [command])
        return dict(outcome.data)

    async def as_service(self, statement: str, *values: object) -> Any:
        """What a statement answers to the service's own role."""
        async with self.built.database.transaction() as session:
            return await driver(session).fetchval(statement, *values)
