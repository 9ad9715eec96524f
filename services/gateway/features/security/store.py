"""Every SQL statement that changes the address rules; the guard reads them by `access.store`."""

from sqlalchemy import text

from libs.common.database.engine import Session
from services.gateway.access.ip_rules import IpRules


async def lock_rules(session: Session) -> None:
    """Wait until no other transaction changes the rules, and keep others waiting until this one ends."""
    await session.execute(text("SELECT 1 FROM ip_rules FOR UPDATE"))


async def keep_rules(session: Session, rules: IpRules) -> None:
    """Make these the rules."""
    await session.execute(
        text("UPDATE ip_rules SET version = :version, allow = CAST(:allow AS cidr[]), deny = CAST(:deny AS cidr[])"),
        {"version": rules.version, "allow": list(rules.allow), "deny": list(rules.deny)},
    )
