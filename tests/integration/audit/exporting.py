"""Exports as a test sees them: asked for by command, run turn by turn, read over the service's routes."""

from pathlib import Path
from typing import Any

import httpx

from libs.common.assertions import HEADER
from libs.common.delivery.commands import CommandHandler
from libs.common.errors import ReeveError
from libs.common.events.catalog import CommandData, new_event
from libs.common.events.envelope import Event
from libs.common.events.exports import EndExport, StartExport
from libs.common.exports.commands import ExportCommands
from libs.common.exports.jobs import Policy
from libs.common.exports.manifest import ManifestSigner
from libs.common.exports.source import Source
from libs.common.exports.worker import CHECKPOINT_SECONDS, ExportWorker
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.ids import new_id
from libs.common.keys import load_or_create_ed25519
from services.audit.app import SPEAKS_AS
from services.audit.exports import PERMISSION, AuditSource
from tests.integration.audit.archive import ADMIN, Archive, Built

GENEROUS = Policy(most_rows=1_000_000, most_bytes=2**30, most_seconds=600, kept_hours=24)


class Exporter:
    """One administrator's exports, and workers to run them."""

    def __init__(self, built: Built, archive: Archive) -> None:
        self.built = built
        self.archive = archive
        self.folder = built.config.exports
        self.checkpoint_seconds = CHECKPOINT_SECONDS
        self.sources: dict[str, Source] = {"audit": AuditSource()}
        self.signer = ManifestSigner(load_or_create_ed25519(built.config.keys / "audit.exports.key"))

    def worker(self, **given: Any) -> ExportWorker:
        """A new worker, as another process would have one."""
        made: dict[str, Any] = {"policy": GENEROUS, "signer": self.signer, "speaks_as": SPEAKS_AS}
        made["checkpoint_seconds"] = self.checkpoint_seconds
        sources, database = given.pop("sources", self.sources), given.pop("database", self.built.database)
        return ExportWorker(database, sources, folder=self.folder, **{**made, **given})

    async def start(self, export_format: str = "jsonl", *, owner: str = ADMIN, **given: Any) -> dict[str, Any]:
        """Ask for an export; the body that is answered."""
        data = StartExport(
            export_id=new_id(), source=given.pop("source", "audit"), format=export_format,
            origin=Origin(username="ada@example.com"), **given,
        )  # fmt: skip
        outcome = await self.apply(data, owner=owner)
        body: dict[str, Any] = outcome.data["result"]
        return body

    async def end(self, export_id: str, *, owner: str = ADMIN) -> Event:
        """End an export."""
        return await self.apply(EndExport(export_id=export_id, source="audit"), owner=owner)

    async def apply(self, data: CommandData, *, owner: str = ADMIN) -> Event:
        """Apply a command as its consumer does, in one transaction; the outcome event."""
        command = new_event(data, subject=None, actor_id=owner, actor_type="admin", correlation_id="request-7")
        handler: CommandHandler = ExportCommands(self.sources, speaks_as=SPEAKS_AS).handlers()[data.TYPE]
        async with self.built.database.transaction() as session:
            [outcome] = await handler(session, [command])
        return outcome

    async def refused(self, data: CommandData, *, owner: str = ADMIN) -> ReeveError:
        """The refusal of a command that must be refused."""
        try:
            await self.apply(data, owner=owner)
        except ReeveError as error:
            return error
        raise AssertionError("the command was not refused")

    async def view(self, export_id: str, *, owner: str = ADMIN) -> dict[str, Any]:
        """A job as its owner sees it."""
        found = await self.get(f"/{export_id}", owner=owner)
        assert found.status_code == 200, found.text
        body: dict[str, Any] = found.json()
        return body

    async def get(
        self, target: str, *, owner: str = ADMIN, permission: str = PERMISSION, **headers: str
    ) -> httpx.Response:
        """GET `/internal/exports/audit<target>`."""
        path = f"/internal/exports/audit{target}"
        actor = Actor(owner, ActorType.ADMIN, "ada", "admin", Level.ADMIN, frozenset((permission,)))
        caller = Caller(actor, Origin(username="ada"), "correlation")
        token = self.archive.minter.mint(caller, audience="audit", permission=permission, method="GET", target=path)
        return await self.archive.client.get(path, headers={HEADER: token, **headers})

    async def exported(self, export_format: str = "jsonl", **given: Any) -> tuple[dict[str, Any], bytes]:
        """Ask for an export and have it run: the job, and its file as it is downloaded."""
        asked = await self.start(export_format, **given)
        assert asked["state"] == "queued"
        assert await self.worker().turn()
        job = await self.view(asked["id"])
        assert job["state"] == "succeeded", job
        downloaded = await self.get(f"/{asked['id']}/download")
        assert downloaded.status_code == 200, downloaded.text
        return job, downloaded.content

    def files(self) -> list[Path]:
        """What lies in the folder of the files."""
        return sorted(self.folder.iterdir()) if self.folder.exists() else []
