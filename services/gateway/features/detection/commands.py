"""Changing the rules, trying one on the past, and what must be so that a rule may hold."""

import asyncio
from datetime import UTC, datetime, timedelta

from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Conflict, Invalid, PreconditionFailed
from libs.common.events.catalog import Change
from libs.common.events.security import SecurityRuleChanged, SecurityRuleDeleted
from libs.common.identity import Caller
from services.gateway.access.events import event_of
from services.gateway.features.detection import store
from services.gateway.features.detection.models.rules import MOST_RULES, Rule, builtin_rule, rule_not_found
from services.gateway.features.detection.models.windows import Trial

MOST_TRIED = 200_000
"""Facts that one dry run reads."""
_FIELDS = (
    "kind", "group_by", "threshold", "window_seconds", "cooldown_seconds", "severity", "enabled", "description",
)  # fmt: skip


async def put_rule(
    session: Session, caller: Caller, wanted: Rule, *, version: int | None, creates_only: bool
) -> tuple[Rule, bool, bool]:
    """Make a rule or change it: the rule, whether it is new, and whether anything changed.

    `version` is the one that the caller saw, None for any; with `creates_only` a rule that is there is
    `PreconditionFailed`. Raises `Conflict` past the most rules there may be.
    """
    old = await store.find_rule(session, wanted.name, locks=True)
    _check_version(old, wanted.name, version=version, creates_only=creates_only)
    if old is not None and _fields(old) == _fields(wanted):
        return old, False, False
    if old is None:
        if await store.count_rules(session) >= MOST_RULES:
            raise Conflict(f"there are {MOST_RULES} rules, which is the most there may be", code="too_many_rules")
        new = await store.append_rule(session, wanted)
        if new is None:
            raise PreconditionFailed(f"the rule {wanted.name} was made meanwhile")
    else:
        new = await store.replace_rule(session, wanted)
    data = SecurityRuleChanged(name=new.name, version=new.version, changes=_changes(old, new))
    await outbox.emit(session, event_of(caller, data, subject=f"security_rule/{new.name}", severity="warning"))
    return new, old is None, True


async def delete_rule(session: Session, caller: Caller, name: str, *, version: int | None) -> None:
    """Forget a rule that is not built in. Raises `NotFound`, `Conflict` and `PreconditionFailed`."""
    old = await store.find_rule(session, name, locks=True)
    if old is None:
        raise rule_not_found(name)
    if old.is_builtin:
        raise builtin_rule(name)
    _check_version(old, name, version=version, creates_only=False)
    await store.remove_rule(session, name)
    data = SecurityRuleDeleted(name=name, changes=_changes(old, None))
    await outbox.emit(session, event_of(caller, data, subject=f"security_rule/{name}", severity="warning"))


class DryRuns:
    """Tries rules on the kept facts, one trial at a time in each gateway."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()

    async def run(self, rule: Rule, *, hours: int) -> tuple[datetime, Trial]:
        """What `rule` would have raised over the last `hours`, and since when exactly.

        Raises 409 `dry_run_busy`, and 422 `too_many_facts` where that would cost too much.
        """
        if self._lock.locked():
            raise Conflict("another rule is being tried; try again in a moment", code="dry_run_busy")
        async with self._lock:
            since = datetime.now(UTC) - timedelta(hours=hours)
            trial, after = Trial(rule), 0
            async with self._database.reading() as session:
                up_to = (await store.read_clock(session)).position
            while True:
                async with self._database.reading() as session:
                    facts = await store.load_past(session, after=after, up_to=up_to, since=since, kinds=[rule.kind])
                if trial.facts + len(facts) > MOST_TRIED:
                    raise Invalid(
                        f"there are more than {MOST_TRIED} facts in {hours} hours; try fewer", code="too_many_facts"
                    )
                trial.add(facts)
                if len(facts) < store.PAGE:
                    return since, trial
                after = facts[-1].position


def _check_version(old: Rule | None, name: str, *, version: int | None, creates_only: bool) -> None:
    if creates_only and old is not None:
        raise PreconditionFailed(f"the rule {name} is there already", current_version=old.version)
    if version is None:
        return
    if old is None:
        raise PreconditionFailed(f"there is no rule {name}, so it has no version {version}")
    if old.version != version:
        raise PreconditionFailed(f"the rule {name} has version {old.version}", current_version=old.version)


def _changes(old: Rule | None, new: Rule | None) -> dict[str, Change]:
    before, after = _fields(old), _fields(new)
    return {
        name: Change(old=before.get(name), new=after.get(name))
        for name in _FIELDS
        if before.get(name) != after.get(name)
    }


def _fields(rule: Rule | None) -> dict[str, object]:
    return {} if rule is None else {name: getattr(rule, name) for name in _FIELDS}
