"""What services refused becomes facts; and the judge, which takes facts in one order, whichever gateway has its turn, and raises what the rules find in them.

Placing facts, raising events and announcing them is one transaction. What a gateway keeps in memory are only the
windows: whoever has its turn first reads up on what others judged meanwhile, so they are the same everywhere.
"""

import asyncio
import time
from collections.abc import Sequence

from libs.common import logs
from libs.common.database.engine import Database, Session, is_transient
from libs.common.delivery.arrivals import Arrived
from libs.common.events.refusals import MessagesRefused
from services.gateway.facts import Fact, FactKind
from services.gateway.features.detection import store
from services.gateway.features.detection.models.rules import GroupBy, Rule
from services.gateway.features.detection.models.windows import Episode, Episodes, Trigger, Windows
from services.gateway.features.detection.store import Clock
from services.gateway.features.security_events import commands as security_events
from services.gateway.features.security_events import store as events_store
from services.gateway.features.security_events.models import NewSecurityEvent, SecurityEvent
from services.gateway.store import note

JUDGE_SECONDS = 1.0
"""How often it is looked for facts."""
PRUNE_SECONDS = 600.0

MOST_WEIGHT = 1_000_000

log = logs.get("detection")


async def note_refusals(session: Session, arrived: Sequence[Arrived]) -> None:
    """Note a fact for each of these events that tells of refused messages."""
    told = [MessagesRefused.model_validate(one.event.data) for one in arrived if one.event.type == MessagesRefused.TYPE]
    if told:
        await note(session, *[_refused(one) for one in told])


def _refused(told: MessagesRefused) -> Fact:
    return Fact(
        FactKind.MESSAGE_REFUSED,
        client_id=told.sender,
        weight=min(told.count, MOST_WEIGHT),
        details={"queue": told.queue, "reason": told.reason, "messages": told.count},
    )


class Judge:
    """One gateway's share in judging. `turn` may run in any number of gateways at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._windows = Windows([])
        self._rules: list[tuple[str, int]] | None = None
        self._position = 0
        self._pruned = 0.0

    async def run(self) -> None:
        """Judge what comes until cancelled. A fault is logged and the facts wait: nobody is turned away for it."""
        while True:
            try:
                while await self.turn() == store.MOST_JUDGED:
                    pass
                await self._prune()
            except Exception as error:
                self._rules = None
                if is_transient(error):
                    log.warning("facts not judged", error=type(error).__name__)
                else:
                    log.error("facts not judged", exc_info=error)
            await asyncio.sleep(JUDGE_SECONDS)

    async def turn(self) -> int:
        """Judge the next facts, if there are any and nobody else does; returns how many."""
        async with self._database.reading() as session:
            if not await store.has_waiting(session):
                return 0
        rules, self._rules = self._rules, None  # Until this is committed the windows are not what they should be.
        async with self._database.transaction() as session:
            clock = await store.take_turn(session)
            if clock is None:
                self._rules = rules
                return 0
            known = await self._read_up(session, clock, rules)
            judged = await store.judge(session, clock)
            triggers = [trigger for fact in judged.facts for trigger in self._windows.add(fact)]
            raised = await _raise(session, triggers)
        self._rules, self._position = known, clock.position + judged.count
        security_events.count_raised(raised)
        return judged.count

    async def _read_up(
        self, session: Session, clock: Clock, known: list[tuple[str, int]] | None
    ) -> list[tuple[str, int]]:
        """Make the windows what they are after the last judged fact, under the rules as they are now."""
        rules = await store.load_rules(session)
        current = [(rule.name, rule.version) for rule in rules]
        if current != known or self._position > clock.position:
            self._windows, self._position = Windows(rules), 0
        since = clock.at - self._windows.reach
        while self._position < clock.position:
            facts = await store.load_past(
                session, after=self._position, up_to=clock.position, since=since, kinds=list(FactKind)
            )
            for fact in facts:
                self._windows.add(fact)
            self._position = facts[-1].position if len(facts) == store.PAGE else clock.position
        return current

    async def _prune(self) -> None:
        if time.monotonic() < self._pruned + PRUNE_SECONDS and self._pruned:
            return
        self._pruned = time.monotonic()
        async with self._database.transaction() as session:
            await store.prune_facts(session)
            await events_store.prune(session)


async def _raise(session: Session, triggers: Sequence[Trigger]) -> list[SecurityEvent]:
    """Raise what began, and count on what goes on."""
    if not triggers:
        return []
    rules = {trigger.rule.name: trigger.rule for trigger in triggers}
    groups = list(dict.fromkeys((trigger.rule.name, trigger.group) for trigger in triggers))
    known = [_episode(fingerprint, event) for fingerprint, event in await events_store.load_last(session, groups)]
    found = Episodes(known)
    for trigger in triggers:
        found.add(trigger)
    for one in found.touched:
        if one.trigger is None:
            await events_store.count_on(session, fingerprint=one.fingerprint, count=one.count, last_at=one.last_at)
    began = [one for one in found.touched if one.trigger is not None]
    return await security_events.raise_events(session, [_new(one, rules[one.rule]) for one in began])


def _episode(fingerprint: str, event: SecurityEvent) -> Episode:
    position = int(fingerprint.rpartition(":")[2])
    return Episode(event.rule, event.subject, position, event.created_at, event.last_at, event.count)


def _new(episode: Episode, rule: Rule) -> NewSecurityEvent:
    trigger = episode.trigger
    assert trigger is not None
    fact = trigger.fact
    details: dict[str, object] = {
        **fact.details, "threshold": rule.threshold, "window_seconds": rule.window_seconds, "group_by": rule.group_by,
        "measure": trigger.measure,
    }  # fmt: skip
    if trigger.seen:
        details["seen"] = list(trigger.seen)
    return NewSecurityEvent(
        fingerprint=episode.fingerprint,
        event_type=rule.event_type,
        severity=rule.severity,
        rule=rule.name,
        subject=episode.group,
        description=rule.description,
        created_at=episode.began_at,
        last_at=episode.last_at,
        count=episode.count,
        # Of what came from one address, the account is only the last of perhaps many.
        user_id=fact.user_id if rule.group_by is not GroupBy.ADDRESS else None,
        ip_address=fact.ip_address,
        user_agent=fact.user_agent,
        details=details,
    )
