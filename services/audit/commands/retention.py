"""How long entries are kept, legal holds, and runs asked for: what a write does, and the event that it leaves."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from libs.common.database.engine import Session
from libs.common.delivery.asked import administrator_of, outcome_of, read_command
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.errors import Conflict, PreconditionFailed
from libs.common.events.catalog import Change
from libs.common.events.envelope import Event
from libs.common.events.retention import (
    HoldLifted,
    HoldPlaced,
    LiftHold,
    PlaceHold,
    RetentionChanged,
    RetentionRunAsked,
    RunRetention,
    SetRetention,
)
from services.audit.models.retention import (
    MOST_HOLDS,
    Policy,
    check_times,
    hold_exists,
    hold_lifted,
    hold_not_found,
)
from services.audit.schemas import run_body
from services.audit.store import archives, holds
from services.audit.store import retention as store

DOING = "change how long audit entries are kept"
DRY_RUN_SECONDS = 8.0


async def set_retention(session: Session, command: Event) -> Event:
    """Applies `SetRetention`: 200. Raises 412 when the rules are not those of the version that was expected."""
    asked = read_command(SetRetention, command, doing=DOING)
    by = administrator_of(command)
    old = await store.policy(session, locked=True)
    if asked.expected_version is not None and asked.expected_version != old.version:
        raise PreconditionFailed(
            f"the rules have version {old.version}, not {asked.expected_version}", code="version_conflict"
        )
    await store.change(session, default_days=asked.default_days, types=asked.types, by=by)
    new = await store.policy(session)
    data = RetentionChanged(
        status=200, result=new.body(), version=new.version, changes=_changes(old, new), origin=asked.origin
    )
    return outcome_of(command, data, subject="audit_retention")


async def place_hold(session: Session, command: Event) -> Event:
    """Applies `PlaceHold`: 201. Raises 409 for a name that is in force, and for one hold too many."""
    asked = read_command(PlaceHold, command, doing=DOING)
    by = administrator_of(command)
    check_times(asked.filter.date_from, asked.filter.date_to)
    if await holds.count_in_force(session) >= MOST_HOLDS:
        raise Conflict(f"{MOST_HOLDS} legal holds are in force already; lift one", code="too_many_legal_holds")
    hold = await holds.place(session, name=asked.name, reason=asked.reason, filters=asked.filter, by=by)
    if hold is None:
        raise hold_exists(asked.name)
    data = HoldPlaced(
        status=201, result=hold.body(), hold_id=str(hold.id), name=hold.name, reason=hold.reason,
        filter=dict(hold.filter), origin=asked.origin,
    )  # fmt: skip
    return outcome_of(command, data, subject=f"legal_hold/{hold.id}")


async def lift_hold(session: Session, command: Event) -> Event:
    """Applies `LiftHold`: 200. Raises 404 where there is none, 409 for one that was lifted already."""
    asked = read_command(LiftHold, command, doing=DOING)
    by = administrator_of(command)
    hold_id = _id(asked.hold_id)
    found = await holds.find(session, hold_id)
    if found is None:
        raise hold_not_found(asked.hold_id)
    if found.lifted_at is not None:
        raise hold_lifted(found.name)
    hold = await holds.lift(session, hold_id, reason=asked.reason, by=by)
    data = HoldLifted(
        status=200, result=hold.body(), hold_id=str(hold.id), name=hold.name, reason=asked.reason, origin=asked.origin
    )
    return outcome_of(command, data, subject=f"legal_hold/{hold.id}")


async def run_retention(session: Session, command: Event) -> Event:
    """Applies `RunRetention`: 201 with a run that waits (or the one that runs already); a dry run counts: 200."""
    asked = read_command(RunRetention, command, doing=DOING)
    by = administrator_of(command)
    if asked.dry_run:
        counted = RetentionRunAsked(status=200, result=await _counted(session), dry_run=True, origin=asked.origin)
        return outcome_of(command, counted, subject="audit_retention")
    run = await store.ask(session, by)
    data = RetentionRunAsked(status=201, result=run_body(run), run_id=str(run.id), dry_run=False, origin=asked.origin)
    return outcome_of(command, data, subject=f"retention_run/{run.id}")


RETENTION_COMMANDS: Mapping[str, CommandHandler] = {
    SetRetention.TYPE: one_by_one(set_retention),
    PlaceHold.TYPE: one_by_one(place_hold),
    LiftHold.TYPE: one_by_one(lift_hold),
    RunRetention.TYPE: one_by_one(run_retention),
}
"""By wire type."""


async def _counted(session: Session) -> dict[str, Any]:
    """What a run would do now."""
    policy = await store.policy(session)
    until = await store.first_within(session, policy.shortest)
    types = await store.due_by_type(session, timeout_seconds=DRY_RUN_SECONDS)
    return {
        "dry_run": True,
        "to_archive": max(0, until - await archives.reached(session)),
        "to_prune": sum(one["due"] for one in types),
        "held": sum(one["held"] for one in types),
        "types": [{"event_type": one["event_type"], "due": one["due"], "held": one["held"]} for one in types],
    }


def _changes(old: Policy, new: Policy) -> dict[str, Change]:
    before, after = old.body(), new.body()
    return {
        name: Change(old=before[name], new=after[name])
        for name in ("default_days", "types")
        if before[name] != after[name]
    }


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise hold_not_found(text) from None
