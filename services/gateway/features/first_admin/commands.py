"""Making the first super admin of a platform that has none."""

from libs.common.database import outbox
from libs.common.database.engine import Database
from libs.common.errors import ConfigError, Conflict, Invalid
from libs.common.events.catalog import new_event
from libs.common.identity import ActorType
from libs.common.ids import new_id
from services.gateway.access import passwords
from services.gateway.access import store as access_store
from services.gateway.access.password_policy import PasswordPolicy
from services.gateway.access.passwords import Passwords
from services.gateway.access.permissions import Role
from services.gateway.features.approvals.models import Basis
from services.gateway.features.users import store
from services.gateway.features.users.commands.accounts import created
from services.gateway.features.users.models import NewUser


async def ensure_first_admin(
    database: Database,
    email: str,
    password: str | None,
    *,
    hasher: Passwords | None = None,
    policy: PasswordPolicy | None = None,
) -> str | None:
    """Make the first super admin unless there is one; the generated password when none was given, else None.

    Starts that collide make one account. Raises `ConfigError` for a password that `policy` refuses.
    """
    if password is not None and policy is not None:
        async with database.transaction() as session:
            await access_store.lock_rights(session)
            if await store.count_active_super_admins(session):
                return None
        await _check_configured(policy, password, email=email)
    chosen = password or passwords.generated()
    hashing = hasher or Passwords()
    async with database.transaction() as session:
        await access_store.lock_rights(session)
        if await store.count_active_super_admins(session):
            return None
        password_hash = await hashing.hash(chosen)
        new = NewUser(email=email.lower(), name="Administrator", role=Role.SUPER_ADMIN, password_hash=password_hash)
        user = await store.append(session, new_id(), new, created_by=None)
        if user is None:
            raise Conflict(f"{email} has an account that is no super_admin; set REEVE_ADMIN_EMAIL to another address")
        data = created(user, Basis("bootstrap"))
        event = new_event(data, subject=f"user/{user.id}", actor_type=ActorType.SYSTEM)
        await outbox.emit(session, event)
    return chosen if password is None else None


async def _check_configured(policy: PasswordPolicy, password: str, *, email: str) -> None:
    try:
        await policy.check(password, email=email, name="", member="password")
    except Invalid as error:
        raise ConfigError(f"REEVE_ADMIN_PASSWORD: {error.message}") from None
