"""Switching accounts on and off, deleting and erasing them, and the events that leaves."""

from collections.abc import Sequence
from datetime import UTC, datetime

from libs.common.database import dead_letters, outbox
from libs.common.database import exports as export_jobs
from libs.common.database.engine import Session
from libs.common.events.catalog import Change
from libs.common.events.envelope import Event
from libs.common.events.exports import ExportExpired
from libs.common.events.users import UserDeleted, UserErased, UserSessionsRevoked, UserStatusChanged
from libs.common.identity import Caller
from services.gateway.access import store as access_store
from services.gateway.access.endings import end_sessions_of
from services.gateway.access.events import access_ended, event_of
from services.gateway.access.grants import Grantor, may_edit, may_set_active, needs_four_eyes, refused
from services.gateway.access.permissions import NO_RIGHTS
from services.gateway.access.pseudonyms import pseudonym_of
from services.gateway.features.approvals.models import Asked, Basis, Waiting
from services.gateway.features.attempts import store as attempts_store
from services.gateway.features.attempts.models import counted_under
from services.gateway.features.factors import store as factors_store
from services.gateway.features.lifecycle import store
from services.gateway.features.links import store as links_store
from services.gateway.features.notices import store as notices_store
from services.gateway.features.notices.commands import note_notice
from services.gateway.features.users import store as users_store
from services.gateway.features.users.commands.accounts import REDACTED
from services.gateway.features.users.commands.rights import FourEyes, begin_change, grantee_of, second_pair, told_of
from services.gateway.features.users.models import User, UserChange

ERASED_DOMAIN = "erased.invalid"
"""Below `.invalid` (RFC 2606, 2) no mail is ever delivered."""
ERASED_FIELDS = (
    "email", "name", "password_hash", "sessions.ip_address", "sessions.user_agent", "sessions.device_hash",
    "external_identities.subject", "external_sessions", "access_requests.reason", "access_requests.decision_reason",
    "security_events.ip_address", "security_events.details", "notices", "second_factor",
    "approvals.reason", "approvals.inputs",
)  # fmt: skip


async def change_status(
    session: Session,
    caller: Caller,
    *,
    user_id: str,
    is_active: bool,
    reason: str | None,
    version: int | None,
    four_eyes: FourEyes,
    causation_id: str | None = None,
) -> tuple[User, bool] | Waiting:
    """Switch an account on or off, and say whether that changed anything. Switched off, it has no session, no
    link and no permission for a time left. Raises what `begin_change` does, and the refusals of `may_set_active`."""
    grantor, user = await begin_change(session, caller, user_id=user_id, version=version, four_eyes=four_eyes)
    await refuse_status(session, grantor, user, is_active=is_active)
    if user.is_active == is_active:
        return user, False
    change = {"is_active": {"old": user.is_active, "new": is_active}}
    basis: Basis | None = None
    if is_active and needs_four_eyes(has=NO_RIGHTS, gains=user.rights):
        inputs = {"is_active": is_active, "reason": reason}
        asked = Asked(UserChange.STATUS, f"user/{user_id}", user.version, inputs=inputs, changes=change)
        found = await second_pair(session, caller, four_eyes, asked, causation_id=causation_id)
        if isinstance(found, Waiting):
            return found
        basis = found
    changed = await users_store.put(session, user_id, is_active=is_active)
    data = UserStatusChanged(
        user_id=user_id,
        is_active=is_active,
        reason=reason,
        changes={name: Change(**one) for name, one in change.items()},
        **told_of(basis),
    )
    severity = basis.severity if basis else "warning"
    told = event_of(caller, data, subject=f"user/{user_id}", severity=severity, causation_id=causation_id)
    await outbox.emit(session, told)
    if not is_active:
        await _end_everything(session, caller, user_id, causation_id=causation_id or told.id)
    return changed, True


async def delete_user(
    session: Session, caller: Caller, *, user_id: str, erases: bool, version: int | None, secret: bytes
) -> bool:
    """Switch an account off for good, erase its personal data where asked to, and say whether anything changed.

    The record stays under its id, so that what it did keeps its author. Erasure cannot be undone; other
    services learn of it by `reeve.user.erased.v1`. What other issuers call the person becomes a pseudonym under `secret`:
    they are known again, and refused, as whoever was only deleted is.
    """
    grantor, user = await begin_change(session, caller, user_id=user_id, version=version, needs="users:delete")
    await refuse_status(session, grantor, user, is_active=False)
    if user.is_active:
        await users_store.put(session, user_id, is_active=False)
        deleted = UserDeleted(user_id=user_id, changes={"is_active": Change(old=True, new=False)})
        told = event_of(caller, deleted, subject=f"user/{user_id}", severity="warning")
        await outbox.emit(session, told)
        await _end_everything(session, caller, user_id, causation_id=told.id)
    if erases:
        await outbox.emit(session, await _erase(session, caller, user, secret=secret))
    return user.is_active or erases


async def revoke_sessions(
    session: Session, caller: Caller, *, user_id: str, causation_id: str | None = None
) -> tuple[User, bool]:
    """End all sessions of an account that is not above the caller's role, and say whether there were any."""
    grantor, user = await begin_change(session, caller, user_id=user_id, version=None, needs="sessions:revoke")
    refusal = may_edit(grantor, grantee_of(user))
    if refusal is not None:
        raise refused(refusal)
    ended = await end_sessions_of(session, caller, user_id, reason="revoked", causation_id=causation_id)
    if not ended:
        return user, False
    data = UserSessionsRevoked(user_id=user_id, count=len(ended))
    told = event_of(caller, data, subject=f"user/{user_id}", severity="warning", causation_id=causation_id)
    await outbox.emit(session, told)
    if user_id != caller.actor.id:
        await note_notice(session, caller, user_id=user_id, kind="sessions_ended")
    return user, True


async def refuse_status(session: Session, grantor: Grantor, user: User, *, is_active: bool) -> None:
    """Raise what keeps the grantor from switching this account on or off, as things are now."""
    refusal = may_set_active(
        grantor,
        grantee_of(user),
        is_active=is_active,
        active_super_admins=await users_store.count_active_super_admins(session),
    )
    if refusal is not None:
        raise refused(refusal)


async def finish_erasures(session: Session, *, secret: bytes) -> int:
    """Give identities their pseudonyms whose accounts were erased by a release that left them; how many there were."""
    return await _rename(session, await store.load_named(session), secret=secret)


async def _erase(session: Session, caller: Caller, user: User, *, secret: bytes) -> Event:
    user_id = user.id
    await store.lock_user(session, user_id)
    for address in (None, *await store.load_addresses(session, user_id)):
        counted = counted_under(user.email, address)
        await attempts_store.forget(session, counted.place)
        await attempts_store.forget(session, counted.account)
    await store.erase_traces(session, user_id, email=user.email)
    await _rename(session, await store.load_named(session, user_id), secret=secret)
    await factors_store.remove(session, user_id)
    await links_store.forget_all(session, user_id)
    await notices_store.forget_all(session, user_id)
    await dead_letters.forget_about(session, user_id, user.email)
    await users_store.put(
        session,
        user_id,
        email=f"{user_id}@{ERASED_DOMAIN}",
        name="Erased",
        password_hash=None,
        erased_at=datetime.now(UTC),
    )
    await export_jobs.forget_owner(session, user_id)
    # Whatever was written before may name them; what is being written begins anew.
    for job in await export_jobs.withdraw(session, await export_jobs.live(session)):
        gone = ExportExpired(export_id=str(job.id), export_source=job.source)
        await outbox.emit(session, event_of(caller, gone, subject=f"export/{job.id}"))
    changes = {"email": Change(old=REDACTED), "name": Change(old=REDACTED)}
    data = UserErased(user_id=user_id, fields=list(ERASED_FIELDS), changes=changes)
    return event_of(caller, data, subject=f"user/{user_id}", severity="warning")


async def _rename(session: Session, found: Sequence[store.Named], *, secret: bytes) -> int:
    for one in found:
        await store.rename(session, one, subject=pseudonym_of(secret, one.issuer, one.subject))
    return len(found)


async def _end_everything(session: Session, caller: Caller, user_id: str, *, causation_id: str) -> None:
    await end_sessions_of(session, caller, user_id, reason="revoked", causation_id=causation_id)
    await links_store.end_all(session, user_id)
    await notices_store.forget_waiting(session, user_id)
    grants = [
        event_of(caller, access_ended(grant, "deactivated"), subject=f"user/{user_id}", causation_id=causation_id)
        for grant in await access_store.end_grants(session, user_id, reason="deactivated")
    ]
    if grants:
        await outbox.emit(session, *grants)
