"""What signing in elsewhere does here: an account by issuer and subject, a role, a session, and their events."""

import time
from dataclasses import dataclass, replace

from libs.common import logs
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.identity import Actor, ActorType, Caller, Level
from libs.common.ids import new_id
from services.gateway.access import store as access_store
from services.gateway.access.endings import end_session
from services.gateway.access.events import event_of
from services.gateway.access.grants import needs_four_eyes
from services.gateway.access.issuers.id_tokens import LoggedOut, SignedIn
from services.gateway.access.issuers.models import BadToken, RoleMap, mapped_role
from services.gateway.access.issuers.relying_party import CodeRefused, RelyingParty
from services.gateway.access.permissions import NO_RIGHTS, Rights, Role
from services.gateway.features.approvals.models import Basis
from services.gateway.features.auth import commands as auth_commands
from services.gateway.features.auth.models import Browser, StartedSession
from services.gateway.features.oidc import store
from services.gateway.features.oidc.models import (
    STATE_SECONDS,
    Attempt,
    FailureReason,
    NewAccount,
    new_account,
    resume,
    spent_digest,
)
from services.gateway.features.oidc.schemas import CallbackQuery
from services.gateway.features.users import store as users_store
from services.gateway.features.users.commands.accounts import created, put_role
from services.gateway.features.users.commands.rights import get_rights
from services.gateway.features.users.models import NewUser, User

log = logs.get("oidc")


@dataclass(frozen=True, slots=True)
class SignInElsewhere:
    """The configured provider, what its claims mean, and the key that binds a browser to its way there and back."""

    party: RelyingParty
    key: bytes
    role_claim: str
    role_map: RoleMap


@dataclass(frozen=True, slots=True)
class Came:
    """Somebody who came back from the provider, and what they are to be here."""

    issuer: str
    subject: str
    sid: str | None
    account: NewAccount


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sign-in came to: a session of a user, or why there is none."""

    user: User | None = None
    started: StartedSession | None = None
    failure: FailureReason | None = None


async def come_back(
    provider: SignInElsewhere, database: Database, *, cookie: str | None, answer: CallbackQuery
) -> Came | FailureReason:
    """Who came back, or why nobody did; what the provider said wrong stays in the log. Raises `IssuerUnavailable`."""
    attempt = resume(provider.key, cookie, answer.state, now=time.time())
    if attempt is None or not await _is_first_use(database, attempt):
        return "invalid_state"
    try:
        await provider.party.check_sender(answer.iss)
        if answer.error is not None or not answer.code:
            log.warning("the provider refused a sign-in", error=answer.error)
            return "provider_refused"
        found = await provider.party.redeem(
            answer.code, verifier=attempt.verifier, nonce=attempt.nonce, role_claim=provider.role_claim
        )
    except CodeRefused as error:
        log.warning("the provider refused a code", error=str(error))
        return "provider_refused"
    except BadToken as error:
        log.warning("the answer of the provider does not hold", reason=str(error))
        return "invalid_id_token"
    return _came(provider, found)


async def sign_in(
    session: Session, caller: Caller, came: Came, *, seconds: int, browser: Browser | None = None
) -> Outcome:
    """Sign somebody in whom the provider vouched for, making their account at the first time.

    The account is the one linked to issuer and subject, whatever address was told; its role becomes what the claims
    give now, except that the last super admin stays one. No second factor of ours is asked for: who may sign in there,
    and by what, is the provider's to say.
    """
    user = await _account(session, caller, came)
    if not isinstance(user, User):
        return Outcome(failure=user)
    started = await auth_commands.start_session(
        session, caller, user, seconds=seconds, proved_hash=None, issuer=came.issuer, browser=browser
    )
    if started is None:
        return Outcome(user, failure="inactive")
    await store.note_session(session, started.id, issuer=came.issuer, subject=came.subject, sid=came.sid)
    return Outcome(user, started)


async def end_sessions(session: Session, caller: Caller, issuer: str, named: LoggedOut) -> list[str] | None:
    """End what a logout token names; which sessions those were, None when the token was used before."""
    if not await store.spend(session, spent_digest("logout", issuer, named.key), expires_at=named.expires_at):
        return None
    found = await store.find_begun(session, issuer=issuer, subject=named.subject, sid=named.sid)
    provider = by_issuer(caller, issuer)
    return [one for one in found if await end_session(session, provider, one, reason="ended_by_issuer")]


def by_issuer(caller: Caller, issuer: str) -> Caller:
    """The same request, as the act of the issuer that it came from."""
    actor = Actor(
        id=issuer, type=ActorType.SYSTEM, username=issuer, role=None, level=Level.NONE, permissions=frozenset(), issuer=issuer
    )  # fmt: skip
    return replace(caller, actor=actor, origin=caller.origin.model_copy(update={"username": issuer}))


def _came(provider: SignInElsewhere, found: SignedIn) -> Came | FailureReason:
    role = mapped_role(found.claims, provider.role_claim, provider.role_map)
    if role is None:
        return "no_role"
    issuer = provider.party.issuer.url
    return Came(issuer, found.subject, found.sid, new_account(issuer, found.subject, found.claims, role=role))


async def _is_first_use(database: Database, attempt: Attempt) -> bool:
    digest = spent_digest("state", attempt.state)
    async with database.transaction() as session:
        return await store.spend(session, digest, expires_at=time.time() + 2 * STATE_SECONDS)


async def _account(session: Session, caller: Caller, came: Came) -> User | FailureReason:
    known = await _linked(session, came)
    if known is not None and known.role == came.account.role:
        return known
    # Two first sign-ins at once make one account, and nobody else changes rights meanwhile.
    await access_store.lock_rights(session)
    if await access_store.find_rights(session, came.account.role) is None:
        log.warning("the claims of the provider lead to a role that there is not", role=came.account.role)
        return "no_role"
    known = await _linked(session, came)
    return await _make(session, caller, came) if known is None else await _with_role(session, caller, came, known)


async def _linked(session: Session, came: Came) -> User | None:
    user_id = await store.find_user_id(session, came.issuer, came.subject)
    return await users_store.get(session, user_id) if user_id is not None else None


async def _make(session: Session, caller: Caller, came: Came) -> User | FailureReason:
    new = NewUser(email=came.account.email, name=came.account.name, role=came.account.role, password_hash=None)
    user = await users_store.append(session, new_id(), new, created_by=came.issuer)
    if user is None:
        return "account_exists"
    await store.link(session, came.issuer, came.subject, user_id=user.id)
    data = created(user, _basis(has=NO_RIGHTS, gains=user.rights))
    await outbox.emit(session, event_of(by_issuer(caller, came.issuer), data, subject=f"user/{user.id}"))
    return user


async def _with_role(session: Session, caller: Caller, came: Came, user: User) -> User:
    role = came.account.role
    if user.role == role or not user.is_active:
        return user
    if user.role == Role.SUPER_ADMIN and await users_store.count_active_super_admins(session) <= 1:
        return user
    basis = _basis(has=user.rights, gains=await get_rights(session, role))
    return await put_role(session, by_issuer(caller, came.issuer), user, role, basis=basis)


def _basis(*, has: Rights, gains: Rights) -> Basis | None:
    """The provider's administrators are asked each time, and nobody here besides: the event says whose word it was."""
    return Basis("issuer") if needs_four_eyes(has=has, gains=gains) else None
