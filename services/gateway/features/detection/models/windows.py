"""Sliding windows over facts in the order they are judged in, and the episodes that come of them.

The same facts in the same order find the same, in whatever portions they come: what judges as facts arrive and
what tries a rule on facts of the past are one and the same code.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.gateway.facts import FactKind
from services.gateway.features.detection.models.rules import GroupBy, Rule

MOST_ENTRIES = 200_000
"""Facts that all windows of a process hold together; past it the group quiet longest is forgotten."""
MOST_SEEN = 10
"""Of the networks or targets that were counted, how many an event names: the last ones."""


@dataclass(frozen=True, slots=True)
class JudgedFact:
    """A fact in its place: `position` is the order, and `at` never goes back in it."""

    position: int
    at: datetime
    kind: FactKind
    user_id: str | None = None
    client_id: str | None = None
    session_id: str | None = None
    place: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    key: str | None = None
    weight: int = 1
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A fact with which a rule's threshold is reached for a group: `measure` is what counts in its window."""

    rule: Rule
    group: str
    fact: JudgedFact
    measure: int
    seen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """What one security event tells of: it began with `fact`, and `count` facts reached the threshold since."""

    rule: str
    group: str
    position: int
    began_at: datetime
    last_at: datetime
    count: int
    trigger: Trigger | None = None
    """What it began with; None for one that was raised before, and is counted on."""

    @property
    def fingerprint(self) -> str:
        """Its one name: rule, group and the fact it began with."""
        return f"{self.rule}:{self.group}:{self.position}"


@dataclass(slots=True)
class _Window:
    """What counts for one rule and group: by key, the last that came at the end."""

    entries: OrderedDict[str | int, tuple[datetime, int]] = field(default_factory=OrderedDict)
    measure: int = 0

    def add(self, fact: JudgedFact, rule: Rule) -> int:
        """Count a fact, and forget what the window has left behind; returns by how many entries it grew."""
        before = len(self.entries)
        key = fact.key if fact.key is not None else fact.position
        if (old := self.entries.pop(key, None)) is not None:
            self.measure -= old[1]
        self.entries[key] = (fact.at, fact.weight)
        self.measure += fact.weight
        begin = fact.at - timedelta(seconds=rule.window_seconds)
        # Each counts at least one, so more than the threshold need not be remembered.
        while next(iter(self.entries.values()))[0] <= begin or len(self.entries) > rule.threshold:
            self.measure -= self.entries.popitem(last=False)[1][1]
        return len(self.entries) - before

    @property
    def last_at(self) -> datetime:
        """When the last of its facts was."""
        return next(reversed(self.entries.values()))[0]

    def seen(self) -> tuple[str, ...]:
        """The last keys that were counted, newest first."""
        newest = (key for key, _ in zip(reversed(self.entries), range(MOST_SEEN), strict=False))
        return tuple(key for key in newest if isinstance(key, str))


class Windows:
    """The windows of all enabled rules, in memory; `add` takes facts in the order of their positions."""

    def __init__(self, rules: Iterable[Rule], *, most_entries: int = MOST_ENTRIES) -> None:
        self._rules: dict[FactKind, list[Rule]] = {}
        for rule in rules:
            if rule.enabled:
                self._rules.setdefault(rule.kind, []).append(rule)
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._most_entries = most_entries
        self._entries = 0
        longest = max((one.window_seconds for of in self._rules.values() for one in of), default=0)
        self.reach = timedelta(seconds=longest)
        """How far back facts matter."""

    def __len__(self) -> int:
        return self._entries

    def add(self, fact: JudgedFact) -> list[Trigger]:
        """Count a fact; what thereby reaches a threshold."""
        found = []
        for rule in self._rules.get(fact.kind, ()):
            group = group_of(rule, fact)
            if group is None:
                continue
            window = self._windows.setdefault((rule.name, group), _Window())
            self._entries += window.add(fact, rule)
            self._windows.move_to_end((rule.name, group))
            if window.measure >= rule.threshold:
                found.append(Trigger(rule, group, fact, window.measure, window.seen()))
        self._forget(fact.at - self.reach)
        return found

    def _forget(self, quiet_since: datetime) -> None:
        """Drop groups that were quiet for longer than any rule looks back, and the quietest where there are too many."""
        while self._windows:
            first = next(iter(self._windows.values()))
            if first.last_at > quiet_since and self._entries <= self._most_entries:
                return
            self._entries -= len(self._windows.popitem(last=False)[1].entries)


def group_of(rule: Rule, fact: JudgedFact) -> str | None:
    """Whom a fact is counted for under a rule; None where it names nobody such."""
    match rule.group_by:
        case GroupBy.USER:
            return fact.user_id
        case GroupBy.CLIENT:
            return fact.client_id
        case GroupBy.SESSION:
            return fact.session_id
        case GroupBy.ADDRESS:
            return fact.place
        case GroupBy.SENDER_AND_REASON:
            reason = fact.details.get("reason")
            return f"{fact.client_id}:{reason}" if fact.client_id is not None and reason is not None else None


class Episodes:
    """What began or went on: each trigger belongs to its group's last episode until that has cooled down.

    `known` are the last episodes from before, by rule and group; `touched` are those that came or grew since.
    """

    def __init__(self, known: Iterable[Episode] = ()) -> None:
        self._last = {(one.rule, one.group): one for one in known}
        self._touched: dict[str, Episode] = {}

    @property
    def touched(self) -> list[Episode]:
        """In the order in which they were first touched."""
        return list(self._touched.values())

    def add(self, trigger: Trigger) -> None:
        """Count a trigger where it belongs."""
        rule, at = trigger.rule, trigger.fact.at
        name = (rule.name, trigger.group)
        current = self._last.get(name)
        if current is not None and at < current.began_at + timedelta(seconds=rule.cooldown_seconds):
            current = replace(current, count=current.count + 1, last_at=at)
        else:
            current = Episode(*name, trigger.fact.position, at, at, 1, trigger)
        self._last[name] = self._touched[current.fingerprint] = current


class Trial:
    """What a rule would have raised over facts of the past, had it begun with the first of them."""

    def __init__(self, rule: Rule) -> None:
        self._windows = Windows([replace(rule, enabled=True)])
        self._episodes = Episodes()
        self.facts = 0

    def add(self, facts: Iterable[JudgedFact]) -> None:
        """Let the rule judge the next facts."""
        for fact in facts:
            self.facts += 1
            for trigger in self._windows.add(fact):
                self._episodes.add(trigger)

    @property
    def found(self) -> list[Episode]:
        """What it would have raised by now, oldest first."""
        return self._episodes.touched
