"""The kinds of changes by which somebody comes to hold everything: who may approve each, and how it is made then.

Each is judged twice by the rules of the direct change: for whoever approves it, and once more for whoever asked.
"""

from libs.common.database.engine import Session
from libs.common.identity import Caller
from services.gateway.access.grants import may_assign, may_edit, refused
from services.gateway.features.approvals.commands import Kind
from services.gateway.features.approvals.models import Approval
from services.gateway.features.lifecycle import commands as lifecycle
from services.gateway.features.links.commands import Links
from services.gateway.features.users import store
from services.gateway.features.users.commands import accounts
from services.gateway.features.users.commands.rights import NEEDED, current_grantor, get_rights, grantee_of
from services.gateway.features.users.models import NewUser, UserChange


def kinds(links: Links) -> tuple[Kind, ...]:
    """All of them; `links` sends the link that activates a new account."""

    async def create_user(session: Session, caller: Caller, approval: Approval, cause: str) -> None:
        new = NewUser(**approval.inputs)
        await accounts.create_user(session, caller, new, links, approval, causation_id=cause)

    return (
        Kind(UserChange.CREATION, NEEDED, _judge_creation, create_user, shows=("email", "name")),
        Kind(UserChange.ROLE, NEEDED, _judge_role, _change_role),
        Kind(UserChange.STATUS, NEEDED, _judge_status, _change_status),
        Kind(UserChange.ADDRESS, NEEDED, _judge_address, _update_user, shows=("email", "name")),
    )


async def _judge_creation(session: Session, caller: Caller, approval: Approval) -> None:
    grantor = await current_grantor(session, caller, needs=NEEDED)
    refusal = may_assign(grantor, await get_rights(session, approval.inputs["role"]))
    if refusal is not None:
        raise refused(refusal)


async def _judge_role(session: Session, caller: Caller, approval: Approval) -> None:
    grantor = await current_grantor(session, caller, needs=NEEDED)
    user = await store.get(session, approval.target_id)
    await accounts.refuse_role(session, grantor, user, approval.inputs["role"])


async def _change_role(session: Session, caller: Caller, approval: Approval, cause: str) -> None:
    await accounts.change_role(
        session, caller, user_id=approval.target_id, role=approval.inputs["role"], version=approval.version,
        four_eyes=approval, causation_id=cause,
    )  # fmt: skip


async def _judge_status(session: Session, caller: Caller, approval: Approval) -> None:
    grantor = await current_grantor(session, caller, needs=NEEDED)
    user = await store.get(session, approval.target_id)
    await lifecycle.refuse_status(session, grantor, user, is_active=approval.inputs["is_active"])


async def _change_status(session: Session, caller: Caller, approval: Approval, cause: str) -> None:
    await lifecycle.change_status(
        session, caller, user_id=approval.target_id, version=approval.version, four_eyes=approval, causation_id=cause,
        **approval.inputs,
    )  # fmt: skip


async def _judge_address(session: Session, caller: Caller, approval: Approval) -> None:
    """The owner of the account may well approve: it is their address."""
    grantor = await current_grantor(session, caller, needs=NEEDED)
    refusal = may_edit(grantor, grantee_of(await store.get(session, approval.target_id)))
    if refusal is not None:
        raise refused(refusal)


async def _update_user(session: Session, caller: Caller, approval: Approval, cause: str) -> None:
    inputs = {"email": None, "name": None, **approval.inputs}
    await accounts.update_user(
        session, caller, user_id=approval.target_id, version=approval.version, four_eyes=approval, causation_id=cause,
        **inputs,
    )  # fmt: skip
