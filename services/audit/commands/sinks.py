"""Sinks made, changed, tested and given up: what a write does, and the event that it leaves."""

import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from libs.common.database.engine import Session
from libs.common.delivery.asked import administrator_of, outcome_of, read_command
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.egress.destinations import ForbiddenDestination, Network, check_address, check_url, literal
from libs.common.egress.trust import client_context
from libs.common.errors import Conflict, Invalid, NotFound, PreconditionFailed
from libs.common.events.catalog import Change
from libs.common.events.envelope import Event
from libs.common.events.sinks import (
    ChangeSink,
    CreateSink,
    DeleteSink,
    HttpsTarget,
    S3Target,
    SinkChanged,
    SinkCreated,
    SinkDefinition,
    SinkDeleted,
    SinkTestStarted,
    Starts,
    SyslogTarget,
    TestSink,
)
from libs.common.ids import new_uuid
from libs.common.sealing import Locker, NotSealed, Unsealer
from services.audit.models.sinks import Sink, destination_of
from services.audit.objects.place import url_of
from services.audit.schemas import filters_of, sink_body
from services.audit.store import sinks as store

MOST_SINKS = 20
DOING = "set up sinks"
_TOLD = ("name", "target", "format", "filters", "is_enabled")


class SinkCommands:
    """Applies the commands. `unsealer` opens secrets on their way here, `locker` keeps them."""

    def __init__(self, *, unsealer: Unsealer, locker: Locker, allowed: Sequence[Network] = ()) -> None:
        self._unsealer = unsealer
        self._locker = locker
        self._allowed = tuple(allowed)

    def handlers(self) -> Mapping[str, CommandHandler]:
        """By wire type."""
        return {
            CreateSink.TYPE: one_by_one(self.create_sink),
            ChangeSink.TYPE: one_by_one(self.change_sink),
            DeleteSink.TYPE: one_by_one(self.delete_sink),
            TestSink.TYPE: one_by_one(self.test_sink),
        }

    async def create_sink(self, session: Session, command: Event) -> Event:
        """Applies `CreateSink`: 201. Raises 422 for what cannot be reached, 409 for a name that is taken."""
        asked = read_command(CreateSink, command, doing=DOING)
        owner, wanted, sink_id = administrator_of(command), asked.definition, new_uuid()
        filters, target = self._checked(wanted)
        secret = self._secret(sink_id, target, asked.sealed_secret, kept=None)
        if await store.count(session) >= MOST_SINKS:
            raise Conflict(f"there are {MOST_SINKS} sinks already; delete one", code="too_many_sinks")
        end = await store.end_of_log(session)
        sink = await store.append(
            session, sink_id=sink_id, name=wanted.name, target=target, sink_format=wanted.format, filters=filters,
            secret=secret, is_enabled=wanted.is_enabled, created_by=owner, cursor=_start(asked.starts, end),
        )  # fmt: skip
        if sink is None:
            raise _name_taken(wanted.name)
        made = SinkCreated(
            status=201, result=_body(sink, end), sink_id=str(sink.id), name=sink.name, changes=_changes(None, sink),
            origin=asked.origin,
        )  # fmt: skip
        return outcome_of(command, made, subject=f"sink/{sink.id}")

    async def change_sink(self, session: Session, command: Event) -> Event:
        """Applies `ChangeSink`: 200, and what failed so far is tried anew at once."""
        asked = read_command(ChangeSink, command, doing=DOING)
        wanted, before = asked.definition, await _found(session, asked.sink_id, asked.expected_version)
        filters, target = self._checked(wanted)
        secret = self._secret(before.id, target, asked.sealed_secret, kept=before)
        if await store.is_name_taken(session, wanted.name, but=before.id):
            raise _name_taken(wanted.name)
        end = await store.end_of_log(session)
        cursor = before.cursor if asked.starts is None else _start(asked.starts, end)
        after = await store.replace(
            session, before.id, name=wanted.name, target=target, sink_format=wanted.format, filters=filters,
            secret=secret, is_enabled=wanted.is_enabled, cursor=cursor,
        )  # fmt: skip
        changed = SinkChanged(
            status=200, result=_body(after, end), sink_id=str(after.id), name=after.name,
            changes=_changes(before, after), origin=asked.origin,
        )  # fmt: skip
        return outcome_of(command, changed, subject=f"sink/{after.id}")

    async def delete_sink(self, session: Session, command: Event) -> Event:
        """Applies `DeleteSink`: 204."""
        asked = read_command(DeleteSink, command, doing=DOING)
        sink = await _found(session, asked.sink_id, asked.expected_version)
        await store.delete(session, sink.id)
        deleted = SinkDeleted(status=204, sink_id=str(sink.id), name=sink.name, origin=asked.origin)
        return outcome_of(command, deleted, subject=f"sink/{sink.id}")

    async def test_sink(self, session: Session, command: Event) -> Event:
        """Applies `TestSink`: 200 at once; whoever sends for the sink sends the test, and the sink says how it ended."""
        asked = read_command(TestSink, command, doing=DOING)
        sink, test_id = await _found(session, asked.sink_id, None), new_uuid()
        await store.ask_test(session, sink.id, test_id)
        started = SinkTestStarted(
            status=200, result={"test_id": str(test_id), "state": "waiting"}, sink_id=str(sink.id), name=sink.name,
            origin=asked.origin,
        )  # fmt: skip
        return outcome_of(command, started, subject=f"sink/{sink.id}")

    def _checked(self, wanted: SinkDefinition) -> tuple[dict[str, Any], dict[str, Any]]:
        """Filters and target in their canonical form. Raises `Invalid`."""
        filters = filters_of(wanted.filters, below=("body", "filters")).named()
        target = wanted.target
        try:
            match target:
                case HttpsTarget():
                    check_url(target.url, allowed=self._allowed, trusts_loopback=False)
                case SyslogTarget():
                    if (address := literal(target.host)) is not None:
                        check_address(address, host=target.host, allowed=self._allowed, trusts_loopback=False)
                    if target.tls:
                        client_context(target.ca)
                case S3Target():
                    check_url(url_of(target, ""), allowed=self._allowed, trusts_loopback=False)
                    client_context(target.ca)
        except ForbiddenDestination as error:
            raise Invalid(str(error), code="destination_not_allowed") from None
        except (ssl.SSLError, ValueError):
            raise Invalid("ca must hold certificates in PEM", code="invalid_certificate") from None
        return filters, target.model_dump()

    def _secret(
        self, sink_id: UUID, target: Mapping[str, Any], sealed: str | None, *, kept: Sink | None
    ) -> bytes | None:
        """The secret as it is stored: bound to its sink and destination, so that another never sees it used."""
        if target["kind"] == "syslog":
            if sealed is not None:
                raise Invalid("a secret belongs to https and s3 alone", code="secret_not_used")
            return None
        if sealed is not None:
            try:
                plain = self._unsealer.unseal(sealed)
            except NotSealed:
                raise Invalid("the secret was not sealed to this service", code="invalid_secret") from None
            return self._locker.lock(plain, bound=secret_bound(sink_id, target))
        if kept is None or kept.secret is None or destination_of(kept.target) != destination_of(target):
            raise Invalid("https and s3 need a secret, and another destination another one", code="secret_required")
        return kept.secret


def secret_bound(sink_id: UUID, target: Mapping[str, Any]) -> bytes:
    """What a secret is bound to."""
    return f"reeve sink v1\0{sink_id}\0{destination_of(target)}".encode()


def sink_not_found(sink_id: str) -> NotFound:
    """There is none."""
    return NotFound(f"no sink {sink_id[:64]}", code="sink_not_found")


async def _found(session: Session, text: str, version: int | None) -> Sink:
    try:
        sink = await store.find(session, UUID(text), for_update=True)
    except ValueError:
        sink = None
    if sink is None:
        raise sink_not_found(text)
    if version is not None and version != sink.version:
        raise PreconditionFailed(f"the sink is at version {sink.version}, not {version}")
    return sink


def _name_taken(name: str) -> Conflict:
    return Conflict(f"there is a sink of the name {name} already", code="sink_exists")


def _start(starts: Starts, end: int) -> int:
    return end if starts == "now" else 0


def _body(sink: Sink, end: int) -> dict[str, Any]:
    return sink_body(sink, end=end, now=datetime.now(UTC))


def _changes(before: Sink | None, after: Sink) -> dict[str, Change]:
    """What is different, the secret aside: of that only that it is another."""
    found = {}
    for name in _TOLD:
        old, new = getattr(before, name, None), getattr(after, name)
        if old != new:
            found[name] = Change(old=old, new=new)
    if after.secret is not None and (before is None or before.secret != after.secret):
        found["secret"] = Change(old="[redacted]" if before and before.secret else None, new="[redacted]")
    if before is not None and before.cursor != after.cursor:
        found["cursor"] = Change(old=before.cursor, new=after.cursor)
    return found
