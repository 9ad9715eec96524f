"""What a request's access is looked up from: live sessions with their users, roles, and registered clients."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ARRAY, ColumnElement, Text, and_, func, insert, literal_column, select, text, update

from libs.common.database.engine import Session
from libs.common.delivery.senders import RegisteredClient
from libs.common.identity import Level
from services.gateway.access.ip_rules import IpRules, read_networks
from services.gateway.access.lifetimes import Lifetimes
from services.gateway.access.permissions import NO_RIGHTS, Rights, builtin_rights
from services.gateway.tables import (
    access_requests,
    clients,
    external_identities,
    revoked_tokens,
    roles,
    sessions,
    signing_keys,
    users,
)

# Literal, as the partial indexes have it: a plan that is kept for any value of a parameter cannot use them.
IS_APPROVED: ColumnElement[bool] = access_requests.c.state == literal_column("'approved'")
# By the clock and not by the state alone: a grant ends by itself, whether or not somebody noted that it did.
IS_LIVE_GRANT: ColumnElement[bool] = IS_APPROVED & (access_requests.c.until > func.clock_timestamp())
BORROWED: ColumnElement[list[str]] = func.array(
    select(access_requests.c.permission)
    .where(access_requests.c.user_id == users.c.id, IS_LIVE_GRANT)
    .correlate(users)
    .scalar_subquery(),
    type_=ARRAY(Text),
)
"""What a user holds for a time, beside their role."""
_LAPSES_IN = (
    select(func.extract("epoch", func.min(access_requests.c.until) - func.clock_timestamp()))
    .where(access_requests.c.user_id == users.c.id, IS_LIVE_GRANT)
    .correlate(users)
    .scalar_subquery()
)


ENDED = (access_requests.c.id, access_requests.c.user_id, access_requests.c.permission, access_requests.c.until)


@dataclass(frozen=True, slots=True)
class EndedGrant:
    """A permission that was granted for a time, and is no more."""

    id: str
    user_id: str
    permission: str
    until: datetime


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session that holds now, and whose it is."""

    id: str
    user_id: str
    email: str
    role: str
    permission_epoch: int
    rights: Rights
    borrowed: frozenset[str]
    lapses_in_seconds: float | None
    """Until the first of `borrowed` ends; None when nothing is borrowed."""
    expires_at: datetime
    proved_at: datetime
    """When its owner last proved who they are."""
    is_seen_lately: bool


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that was ended just now, and whose it was."""

    id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class ClientRights:
    """What a registered client may do, and which of its tokens were taken back one by one."""

    scopes: frozenset[str]
    permission_epoch: int
    revoked: frozenset[str]


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key as the table has it; `locked_key` is None once it signs no more."""

    kid: str
    public_key: bytes
    locked_key: bytes | None
    signs_from: datetime
    verifies_until: datetime | None


def holds_now(lifetimes: Lifetimes) -> ColumnElement[bool]:
    """Whether a row of `sessions` is one that nobody ended and that is within both limits."""
    used_after = func.now() - timedelta(seconds=lifetimes.idle_seconds)
    return and_(sessions.c.is_active, sessions.c.expires_at > func.now(), sessions.c.last_seen_at > used_after)


async def find_live_session(session: Session, session_id: str, *, lifetimes: Lifetimes) -> LiveSession | None:
    """The session unless it ended, is past a limit, or its user may no longer act."""
    noted_after = func.now() - timedelta(seconds=lifetimes.seen_every_seconds)
    found = await session.execute(
        select(
            sessions.c.id,
            sessions.c.user_id,
            users.c.email,
            users.c.role,
            users.c.permission_epoch,
            roles.c.level,
            roles.c.permissions,
            BORROWED.label("borrowed"),
            _LAPSES_IN.label("lapses_in"),
            sessions.c.expires_at,
            sessions.c.proved_at,
            (sessions.c.last_seen_at > noted_after).label("is_seen_lately"),
        )
        .join(users, users.c.id == sessions.c.user_id)
        .outerjoin(roles, roles.c.name == users.c.role)
        .where(sessions.c.id == session_id, holds_now(lifetimes), users.c.is_active)
    )
    row = found.one_or_none()
    if row is None:
        return None
    return LiveSession(
        id=row.id,
        user_id=row.user_id,
        email=row.email,
        role=row.role,
        permission_epoch=row.permission_epoch,
        rights=rights_from(row.role, level=row.level, permissions=row.permissions),
        borrowed=frozenset(row.borrowed),
        lapses_in_seconds=float(row.lapses_in) if row.lapses_in is not None else None,
        expires_at=row.expires_at,
        proved_at=row.proved_at,
        is_seen_lately=row.is_seen_lately,
    )


def rights_from(role: str, *, level: str | None, permissions: Sequence[str] | None) -> Rights:
    """What a role gives: by the table of the built-in ones, else by its row, else nothing."""
    builtin = builtin_rights(role)
    if builtin is not None:
        return builtin
    return Rights(Level(level), frozenset(permissions or ())) if level is not None else NO_RIGHTS


async def find_rights(session: Session, role: str) -> Rights | None:
    """What a role gives; None when there is no such role."""
    builtin = builtin_rights(role)
    if builtin is not None:
        return builtin
    row = (await session.execute(select(roles.c.level, roles.c.permissions).where(roles.c.name == role))).one_or_none()
    return Rights(Level(row.level), frozenset(row.permissions)) if row is not None else None


async def lock_rights(session: Session) -> None:
    """Wait until no other transaction changes anybody's rights, and keep others waiting until this one ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('reeve.gateway.rights', 0))"))


async def end_grants(session: Session, user_id: str, *, reason: str) -> list[EndedGrant]:
    """End every grant of a user whose time is not over yet; the others ended by themselves, and are told of as such."""
    ended = (
        update(access_requests)
        .where(access_requests.c.user_id == user_id, IS_LIVE_GRANT)
        .values(state="ended", ended_at=func.now(), end_reason=reason)
        .returning(*ENDED)
    )
    return [EndedGrant(**row._mapping) for row in await session.execute(ended)]


@dataclass(frozen=True, slots=True)
class LinkedAccount:
    """The account of somebody whom another issuer vouches for."""

    user_id: str
    is_active: bool


async def find_linked_account(session: Session, issuer: str, names: Sequence[str]) -> LinkedAccount | None:
    """The account of an identity under one of its names (`names_of`); None when it has none."""
    found = await session.execute(
        select(users.c.id, users.c.is_active)
        .join(external_identities, external_identities.c.user_id == users.c.id)
        .where(external_identities.c.issuer == issuer, external_identities.c.subject.in_(names))
        .limit(1)
    )
    row = found.one_or_none()
    return LinkedAccount(row.id, row.is_active) if row is not None else None


async def touch_session(session: Session, session_id: str, *, lifetimes: Lifetimes) -> None:
    """Note that a live session was used now, at most every `seen_every_seconds` whoever asks."""
    noted_before = func.now() - timedelta(seconds=lifetimes.seen_every_seconds)
    await session.execute(
        update(sessions)
        .where(sessions.c.id == session_id, holds_now(lifetimes), sessions.c.last_seen_at <= noted_before)
        .values(last_seen_at=func.now())
    )


async def end_sessions(
    session: Session,
    *,
    reason: str,
    session_id: str | None = None,
    user_id: str | None = None,
    spared: str | None = None,
) -> list[EndedSession]:
    """End one session, or all of a user's but the `spared` one; those that had ended already are not among them."""
    if session_id is None and user_id is None:
        raise ValueError("either a session or a user must be named")
    ending = update(sessions).where(sessions.c.is_active)
    if session_id is not None:
        ending = ending.where(sessions.c.id == session_id)
    if user_id is not None:
        ending = ending.where(sessions.c.user_id == user_id)
    if spared is not None:
        ending = ending.where(sessions.c.id != spared)
    rows = await session.execute(
        ending.values(is_active=False, logout_at=func.now(), end_reason=reason).returning(
            sessions.c.id, sessions.c.user_id
        )
    )
    return [EndedSession(row.id, row.user_id) for row in rows]


async def end_oldest_sessions(session: Session, user_id: str, *, kept: int, reason: str) -> list[EndedSession]:
    """End the sessions of a user but the `kept` newest ones."""
    surplus = (
        select(sessions.c.id)
        .where(sessions.c.user_id == user_id, sessions.c.is_active)
        .order_by(sessions.c.id.desc())
        .offset(kept)
        .with_for_update(skip_locked=True)
    )
    rows = await session.execute(
        update(sessions)
        .where(sessions.c.id.in_(surplus))
        .values(is_active=False, logout_at=func.now(), end_reason=reason)
        .returning(sessions.c.id, sessions.c.user_id)
    )
    return [EndedSession(row.id, row.user_id) for row in rows]


async def find_client_scopes(session: Session, client_id: str) -> tuple[str, ...] | None:
    """What a registered client may do; None when there is no such client."""
    found = await session.execute(select(clients.c.scopes).where(clients.c.client_id == client_id))
    row = found.one_or_none()
    return tuple(row.scopes) if row is not None else None


async def load_ip_rules(session: Session) -> IpRules:
    """The rules about addresses."""
    row = (await session.execute(text("SELECT version, allow::text[], deny::text[] FROM ip_rules"))).one()
    return IpRules(version=row.version, allow=read_networks(row.allow), deny=read_networks(row.deny))


async def load_senders(session: Session) -> dict[str, RegisteredClient]:
    """Every registered client by its id: the source it speaks for and the types it may send."""
    rows = await session.execute(select(clients.c.client_id, clients.c.source, clients.c.event_types))
    return {row.client_id: RegisteredClient(row.client_id, row.source, tuple(row.event_types)) for row in rows}


async def find_client_rights(session: Session, client_id: str) -> ClientRights | None:
    """What a registered client may do now; None when there is no such client."""
    found = await session.execute(
        select(clients.c.scopes, clients.c.permission_epoch).where(clients.c.client_id == client_id)
    )
    row = found.one_or_none()
    if row is None:
        return None
    revoked = await session.execute(
        select(revoked_tokens.c.jti).where(
            revoked_tokens.c.client_id == client_id, revoked_tokens.c.expires_at > func.now()
        )
    )
    return ClientRights(frozenset(row.scopes), row.permission_epoch, frozenset(revoked.scalars()))


async def load_signing_keys(session: Session) -> list[StoredKey]:
    """Every key that tokens are still verified with."""
    rows = await session.execute(
        select(
            signing_keys.c.kid,
            signing_keys.c.public_key,
            signing_keys.c.locked_key,
            signing_keys.c.signs_from,
            signing_keys.c.verifies_until,
        ).where((signing_keys.c.verifies_until.is_(None)) | (signing_keys.c.verifies_until > func.now()))
    )
    return [StoredKey(**row._mapping) for row in rows]


async def lock_signing_keys(session: Session) -> None:
    """Wait until no other transaction changes the keys, and keep others waiting until this one ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('reeve.gateway.signing_keys', 0))"))


async def knows_signing_key(session: Session, kid: str) -> bool:
    """Whether a key is or was one of ours."""
    found = await session.execute(select(signing_keys.c.kid).where(signing_keys.c.kid == kid))
    return found.one_or_none() is not None


async def retire_signing_keys(session: Session, *, verifies_until: datetime) -> int:
    """Let every key verify until then at most, and forget the private halves of those that ended; how many there were."""
    retired = (
        update(signing_keys)
        .where((signing_keys.c.verifies_until.is_(None)) | (signing_keys.c.verifies_until > verifies_until))
        .values(verifies_until=verifies_until)
        .returning(signing_keys.c.kid)
    )
    count = len((await session.execute(retired)).all())
    ended = signing_keys.c.verifies_until <= func.now()
    await session.execute(update(signing_keys).where(ended).values(locked_key=None))
    return count


async def append_signing_key(
    session: Session, kid: str, *, public_key: bytes, locked_key: bytes, signs_from: datetime
) -> None:
    """Keep a new key."""
    await session.execute(
        insert(signing_keys).values(kid=kid, public_key=public_key, locked_key=locked_key, signs_from=signs_from)
    )
