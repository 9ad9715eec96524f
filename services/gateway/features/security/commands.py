"""Changing the address rules."""

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.errors import Conflict, PreconditionFailed
from libs.common.events.catalog import Change, new_event
from libs.common.events.sign_in import IpRulesChanged
from libs.common.identity import ActorType, Caller
from services.gateway.access import store as access_store
from services.gateway.access.events import event_of
from services.gateway.access.ip_rules import IpRules, read_networks
from services.gateway.features.security import store


async def set_ip_rules(
    session: Session, caller: Caller, *, allow: list[str], deny: list[str], version: int | None
) -> tuple[IpRules, bool]:
    """Make these the rules, and say whether that changed anything. Raises `Conflict` (`self_lockout`) where
    they would shut out whoever sets them, and `PreconditionFailed` where `version` is not the current one."""
    await store.lock_rules(session)
    current = await access_store.load_ip_rules(session)
    if version is not None and version != current.version:
        raise PreconditionFailed(f"the rules have version {current.version}", current_version=current.version)
    wanted = IpRules(version=current.version + 1, allow=read_networks(allow), deny=read_networks(deny))
    if (wanted.allow, wanted.deny) == (current.allow, current.deny):
        return current, False
    if not wanted.admits(caller.origin.ip_address, admin=True):
        raise Conflict(f"these rules would shut out your own address {caller.origin.ip_address}", code="self_lockout")
    await store.keep_rules(session, wanted)
    data = IpRulesChanged(version=wanted.version, changes=_changes(current, wanted))
    await outbox.emit(session, event_of(caller, data, subject="ip_rules", severity="warning"))
    return wanted, True


async def lift_ip_rules(session: Session) -> None:
    """Lift every rule, from the machine itself; the event says that nobody signed in for it."""
    await store.lock_rules(session)
    current = await access_store.load_ip_rules(session)
    lifted = IpRules(version=current.version + 1)
    await store.keep_rules(session, lifted)
    data = IpRulesChanged(version=lifted.version, changes=_changes(current, lifted))
    event = new_event(
        data, subject="ip_rules", actor_id="console", actor_type=ActorType.SYSTEM.value, severity="critical"
    )
    await outbox.emit(session, event)


def _changes(current: IpRules, wanted: IpRules) -> dict[str, Change]:
    return {
        name: Change(old=_texts(getattr(current, name)), new=_texts(getattr(wanted, name)))
        for name in ("allow", "deny")
        if getattr(current, name) != getattr(wanted, name)
    }


def _texts(networks: tuple[object, ...]) -> list[str]:
    return [str(network) for network in networks]
