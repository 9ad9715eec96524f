"""One operation on many accounts: each for itself, all in one transaction, with an event for the whole and for each."""

from collections.abc import Sequence

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.errors import Conflict, Forbidden, NotFound
from libs.common.events.envelope import Event
from libs.common.events.requests import RequestRecorded
from libs.common.events.users import UsersBulkChanged
from libs.common.identity import Caller
from libs.common.ids import new_id
from services.gateway.access.events import event_of
from services.gateway.access.store import lock_rights
from services.gateway.features.lifecycle import commands as lifecycle
from services.gateway.features.user_bulk.models import BulkChange, Operation, Outcome
from services.gateway.features.users import commands as users

PATH = "/api/v1/admin/users/bulk"


async def bulk_change_users(session: Session, caller: Caller, asked: BulkChange) -> list[Outcome]:
    """Do one thing to many accounts, in the order of their ids, and say what became of each.

    Every account is decided by the rules of that thing done to it alone, as it is after those before it: a
    refusal leaves the others alone. Raises `Forbidden` when the caller lacks what the operation needs and
    422 `unknown_role`.
    """
    await lock_rights(session)
    await users.current_grantor(session, caller, needs=asked.operation.needs)
    if asked.role is not None:
        await users.get_rights(session, asked.role)
    parent_id = new_id()
    outcomes = [await _outcome(session, caller, user_id, asked, parent_id) for user_id in asked.ids]
    # Every account has an entry of its own: a changed one by the event of its change, the others by these.
    others = [_untouched(caller, one, asked, parent_id) for one in outcomes if not one.is_changed]
    await outbox.emit(session, _whole(caller, asked, outcomes, parent_id), *others)
    return outcomes


async def _outcome(session: Session, caller: Caller, user_id: str, asked: BulkChange, parent_id: str) -> Outcome:
    """Refusals are raised before anything is written, so that nothing has to be undone."""
    try:
        return Outcome(user_id, is_changed=await _change(session, caller, user_id, asked, parent_id))
    except (Forbidden, NotFound, Conflict) as refusal:
        return Outcome(user_id, refusal=refusal)


async def _change(session: Session, caller: Caller, user_id: str, asked: BulkChange, parent_id: str) -> bool:
    match asked.operation:
        case Operation.SET_ROLE:
            assert asked.role is not None
            _, is_changed = await users.change_role(
                session, caller, user_id=user_id, role=asked.role, version=None, causation_id=parent_id
            )
        case Operation.ACTIVATE | Operation.DEACTIVATE:
            _, is_changed = await lifecycle.change_status(
                session,
                caller,
                user_id=user_id,
                is_active=asked.operation is Operation.ACTIVATE,
                reason=asked.reason,
                version=None,
                causation_id=parent_id,
            )
        case Operation.REVOKE_SESSIONS:
            _, is_changed = await lifecycle.revoke_sessions(session, caller, user_id=user_id, causation_id=parent_id)
    return is_changed


def _whole(caller: Caller, asked: BulkChange, outcomes: Sequence[Outcome], parent_id: str) -> Event:
    changed = sum(one.is_changed for one in outcomes)
    refused = sum(one.refusal is not None for one in outcomes)
    data = UsersBulkChanged(
        operation=asked.operation.value,
        role=asked.role,
        reason=asked.reason,
        requested=len(outcomes),
        changed=changed,
        unchanged=len(outcomes) - changed - refused,
        refused=refused,
    )
    return event_of(caller, data, subject=f"bulk/{parent_id}", severity="warning", event_id=parent_id)


def _untouched(caller: Caller, one: Outcome, asked: BulkChange, parent_id: str) -> Event:
    data = RequestRecorded(
        action=asked.operation.action,
        outcome="success" if one.refusal is None else "denied" if one.status == 403 else "failure",
        method="POST",
        path=PATH,
        status=one.status,
        permission=asked.operation.needs,
        error=one.refusal.code if one.refusal is not None else None,
    )
    return event_of(caller, data, subject=f"user/{one.id}", causation_id=parent_id)
