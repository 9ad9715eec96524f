"""Exports asked for and ended: the rows of jobs, and the events that tell of it."""

from collections.abc import Mapping
from uuid import UUID

from libs.common.database import exports as store
from libs.common.database.engine import Session
from libs.common.delivery.asked import administrator_of, outcome_of, read_command
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.errors import Invalid
from libs.common.events.envelope import Event
from libs.common.events.exports import EndExport, ExportEnded, ExportStarted, StartExport
from libs.common.exports.jobs import body_of, check_room, not_found, unknown_source
from libs.common.exports.source import Source

DOING = "ask for exports"


class ExportCommands:
    """Applies the commands of one service's exports."""

    def __init__(self, sources: Mapping[str, Source], *, speaks_as: str) -> None:
        self._sources = sources
        self._speaks_as = speaks_as

    def handlers(self) -> Mapping[str, CommandHandler]:
        """By wire type."""
        return {StartExport.TYPE: one_by_one(self.start_export), EndExport.TYPE: one_by_one(self.end_export)}

    async def start_export(self, session: Session, command: Event) -> Event:
        """A job that waits: 201. Raises 422 for a question that cannot be asked, 409 for one job too many."""
        asked = read_command(StartExport, command, doing=DOING)
        source = self._sources.get(asked.source)
        if source is None:
            raise unknown_source(asked.source)
        if asked.format not in source.formats:
            names = ", ".join(source.formats)
            raise Invalid(f"format must be one of {names}, got {asked.format}", code="unknown_format")
        question = source.check(asked.format, filters=asked.filters, options=asked.options)
        owner = administrator_of(command)
        check_room(await store.count_kept(session, owner))
        job = await store.append(
            session,
            export_id=_id(asked.export_id),
            source=asked.source,
            export_format=asked.format,
            compression=asked.compression,
            options=question.options,
            filters=question.filters,
            owner_id=owner,
            owner_name=asked.origin.username if asked.origin else None,
            correlation_id=command.correlationid,
        )
        started = ExportStarted(
            status=201, result=body_of(job), export_id=str(job.id), export_source=job.source, format=job.format,
            filters=dict(job.filters), origin=asked.origin,
        )  # fmt: skip
        return outcome_of(command, started, subject=f"export/{job.id}", source=self._speaks_as)

    async def end_export(self, session: Session, command: Event) -> Event:
        """The job is cancelled, or its file will be gone: 204. Doing it again changes nothing."""
        asked = read_command(EndExport, command, doing=DOING)
        job = await store.end_early(
            session, _id(asked.export_id), source=asked.source, owner_id=administrator_of(command)
        )
        if job is None:
            raise not_found(asked.export_id)
        ended = ExportEnded(
            status=204, export_id=str(job.id), export_source=job.source, state=job.state, origin=asked.origin
        )
        return outcome_of(command, ended, subject=f"export/{job.id}", source=self._speaks_as)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise not_found(text) from None
