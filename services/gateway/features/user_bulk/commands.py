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
from services.gateway.features.approvals.commands import Approvals
from services.gateway.features.approvals.models import Waiting
from services.gateway.features.lifecycle import commands as lifecycle
from services.gateway.features.user_bulk.models import BulkChange, Operation, Outcome
from services.gateway.features.users.commands import accounts
from services.gateway.features.users.commands.rights import current_grantor, get_rights
from services.gateway.features.users.models import User

PATH = "/api/v1/admin/users/bulk"


async def bulk_change_users(session: Session, caller: Caller, asked: BulkChange, approvals: Approvals) -> list[Outcome]:
    """Do one thing to many accounts, in the order of their ids, and say what became of each.

    Every account is decided by the rules of that thing done to it alone, as it is after those before it: a
    refusal leaves the others alone, and so does a change that waits for a second pair of eyes. Raises `Forbidden` when
    the caller lacks what the operation needs and 422 `unknown_role`.
    """
    await lock_rights(session)
    await current_grantor(session, caller, needs=asked.operation.needs)
    if asked.role is not None:
        await get_rights(session, asked.role)
    parent_id = new_id()
    outcomes = [
        await _outcome(session, caller, user_id, asked, approvals=approvals, parent_id=parent_id)
        for user_id in asked.ids
    ]
    # Every account has an entry of its own: one that is changed or waits by the event of that, the others by these.
    others = [_untouched(caller, one, asked, parent_id) for one in outcomes if not _speaks_for_itself(one)]
    await outbox.emit(session, _whole(caller, asked, outcomes, parent_id), *others)
    return outcomes


async def _outcome(
    session: Session, caller: Caller, user_id: str, asked: BulkChange, *, approvals: Approvals, parent_id: str
) -> Outcome:
    """Refusals are raised before anything is written, so that nothing has to be undone."""
    try:
        done = await _change(session, caller, user_id, asked, approvals=approvals, parent_id=parent_id)
    except (Forbidden, NotFound, Conflict) as refusal:
        return Outcome(user_id, refusal=refusal)
    return Outcome(user_id, waiting=done) if isinstance(done, Waiting) else Outcome(user_id, is_changed=done[1])


async def _change(
    session: Session, caller: Caller, user_id: str, asked: BulkChange, *, approvals: Approvals, parent_id: str
) -> tuple[User, bool] | Waiting:
    match asked.operation:
        case Operation.SET_ROLE:
            assert asked.role is not None
            return await accounts.change_role(
                session, caller, user_id=user_id, role=asked.role, version=None, four_eyes=approvals,
                causation_id=parent_id,
            )  # fmt: skip
        case Operation.ACTIVATE | Operation.DEACTIVATE:
            return await lifecycle.change_status(
                session,
                caller,
                user_id=user_id,
                is_active=asked.operation is Operation.ACTIVATE,
                reason=asked.reason,
                version=None,
                four_eyes=approvals,
                causation_id=parent_id,
            )
        case Operation.REVOKE_SESSIONS:
            return await lifecycle.revoke_sessions(session, caller, user_id=user_id, causation_id=parent_id)


def _speaks_for_itself(one: Outcome) -> bool:
    return one.is_changed or (one.waiting is not None and one.waiting.is_new)


def _whole(caller: Caller, asked: BulkChange, outcomes: Sequence[Outcome], parent_id: str) -> Event:
    changed = sum(one.is_changed for one in outcomes)
    refused = sum(one.refusal is not None for one in outcomes)
    waiting = sum(one.waiting is not None for one in outcomes)
    data = UsersBulkChanged(
        operation=asked.operation.value,
        role=asked.role,
        reason=asked.reason,
        requested=len(outcomes),
        changed=changed,
        unchanged=len(outcomes) - changed - refused - waiting,
        awaiting_approval=waiting,
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
