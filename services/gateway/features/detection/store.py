"""Every SQL statement about facts and the rules that judge them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Session, driver
from services.gateway.facts import FactKind
from services.gateway.features.detection.models.rules import BUILTIN, GroupBy, Rule
from services.gateway.features.detection.models.windows import JudgedFact
from services.gateway.tables import security_rules as r

MOST_JUDGED = 500
"""Facts in one transaction of the judge."""
PAGE = 2_000
"""Facts of the past in one statement."""
KEPT_HOURS = 72
MOST_FACTS = 1_000_000
"""Facts that are kept at most, the newest."""

_KINDS = frozenset(FactKind)
_COLUMNS = """
    position, noted_at, kind, user_id, client_id, session_id, place, ip_address, user_agent, key, weight, details::text
"""
_TURN = "SELECT position, at FROM security_clock FOR UPDATE SKIP LOCKED"
# Facts get their places in the order of their ids among those that are visible; a moment never goes back, so that
# windows can be kept by appending. The clock is the database's: gateways need not agree on the time.
_JUDGE = f"""
    WITH waiting AS (
        SELECT id, noted_at FROM security_facts WHERE position IS NULL ORDER BY id LIMIT {MOST_JUDGED}
    ), placed AS (
        SELECT id, $1::bigint + row_number() OVER (ORDER BY id) AS position,
               greatest($2::timestamptz, max(noted_at) OVER (ORDER BY id)) AS at
        FROM waiting
    ), judged AS (
        UPDATE security_facts AS fact SET position = placed.position, noted_at = placed.at
        FROM placed WHERE fact.id = placed.id
        RETURNING fact.position, fact.noted_at, kind, user_id, client_id, session_id, place, ip_address, user_agent,
                  key, weight, details::text
    )
    SELECT * FROM judged ORDER BY position
"""
_PAST = f"""
    SELECT {_COLUMNS} FROM security_facts
    WHERE position > $1 AND position <= $2 AND noted_at > $3 AND kind = ANY($4::text[]) ORDER BY position LIMIT {PAGE}
"""
_PRUNE = """
    DELETE FROM security_facts WHERE position IS NOT NULL
        AND (noted_at < now() - make_interval(hours => $1) OR position <= (SELECT position FROM security_clock) - $2)
"""


@dataclass(frozen=True, slots=True)
class Clock:
    """How far facts were judged: the last one's position and moment."""

    position: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Judged:
    """The next facts in their places, and how many got one."""

    count: int
    facts: list[JudgedFact]


async def take_turn(session: Session) -> Clock | None:
    """Become the one who judges until the transaction ends; None while somebody else is."""
    row = await driver(session).fetchrow(_TURN)
    return _clock(row) if row is not None else None


async def read_clock(session: Session) -> Clock:
    """How far facts were judged by now."""
    return _clock(await driver(session).fetchrow("SELECT position, at FROM security_clock"))


async def has_waiting(session: Session) -> bool:
    """Whether there are facts to judge."""
    found = await session.execute(text("SELECT EXISTS (SELECT FROM security_facts WHERE position IS NULL)"))
    return bool(found.scalar_one())


async def judge(session: Session, clock: Clock) -> Judged:
    """Give the next facts their places behind `clock`, and move it; it must be this one's turn."""
    rows = await driver(session).fetch(_JUDGE, clock.position, clock.at)
    if rows:
        await session.execute(
            text("UPDATE security_clock SET position = :position, at = :at"),
            {"position": rows[-1]["position"], "at": rows[-1]["noted_at"]},
        )
    return Judged(len(rows), _facts(rows))


async def load_past(
    session: Session, *, after: int, up_to: int, since: datetime, kinds: Sequence[FactKind]
) -> list[JudgedFact]:
    """Judged facts of these kinds beyond a position, in order, at most `PAGE`."""
    return _facts(await driver(session).fetch(_PAST, after, up_to, since, list(kinds)))


async def prune_facts(session: Session) -> None:
    """Forget facts past their time, and the oldest past the most that are kept."""
    await driver(session).execute(_PRUNE, KEPT_HOURS, MOST_FACTS)


async def ensure_builtin(session: Session) -> None:
    """Make the built-in rules that are not there yet; those that are stay as they are."""
    added = postgresql.insert(r).values([{**_values(rule), "is_builtin": True} for rule in BUILTIN])
    await session.execute(added.on_conflict_do_nothing())


async def load_rules(session: Session) -> list[Rule]:
    """All rules, by name."""
    return [_rule(dict(row._mapping)) for row in await session.execute(select(r).order_by(r.c.name))]


async def find_rule(session: Session, name: str, *, locks: bool = False) -> Rule | None:
    """The rule of a name; `locks` keeps others from changing it meanwhile."""
    found = select(r).where(r.c.name == name)
    row = (await session.execute(found.with_for_update() if locks else found)).one_or_none()
    return _rule(dict(row._mapping)) if row is not None else None


async def count_rules(session: Session) -> int:
    """How many rules there are; nobody adds one until the transaction ends."""
    await session.execute(text("LOCK TABLE security_rules IN SHARE ROW EXCLUSIVE MODE"))
    return (await session.execute(select(func.count()).select_from(r))).scalar_one()


async def append_rule(session: Session, rule: Rule) -> Rule | None:
    """A new rule; None when the name is taken."""
    added = postgresql.insert(r).values(**_values(rule)).on_conflict_do_nothing().returning(*r.c)
    row = (await session.execute(added)).one_or_none()
    return _rule(dict(row._mapping)) if row is not None else None


async def replace_rule(session: Session, rule: Rule) -> Rule:
    """Another rule of the same name, which the caller has locked; its version is the next one."""
    changed = update(r).where(r.c.name == rule.name)
    changed = changed.values(**_values(rule), version=r.c.version + 1, updated_at=func.now())
    return _rule(dict((await session.execute(changed.returning(*r.c))).one()._mapping))


async def remove_rule(session: Session, name: str) -> None:
    """Forget a rule; the events it raised stay."""
    await session.execute(delete(r).where(r.c.name == name))


def _clock(row: Any) -> Clock:
    return Clock(int(row["position"]), row["at"])


def _facts(rows: Sequence[Any]) -> list[JudgedFact]:
    """Those of a kind that is known here: a newer gateway may note others."""
    return [_fact(row) for row in rows if row["kind"] in _KINDS]


def _fact(row: Any) -> JudgedFact:
    return JudgedFact(
        position=row["position"], at=row["noted_at"], kind=FactKind(row["kind"]), user_id=row["user_id"],
        client_id=row["client_id"], session_id=row["session_id"], place=row["place"], ip_address=row["ip_address"],
        user_agent=row["user_agent"], key=row["key"], weight=row["weight"], details=orjson.loads(row["details"]),
    )  # fmt: skip


def _values(rule: Rule) -> dict[str, object]:
    return {
        "name": rule.name, "kind": rule.kind.value, "group_by": rule.group_by.value, "threshold": rule.threshold,
        "window_seconds": rule.window_seconds, "cooldown_seconds": rule.cooldown_seconds, "severity": rule.severity,
        "enabled": rule.enabled, "description": rule.description,
    }  # fmt: skip


def _rule(row: dict[str, Any]) -> Rule:
    return Rule(**{**row, "kind": FactKind(row["kind"]), "group_by": GroupBy(row["group_by"])})
