"""Messages about accounts, sessions and clients: everything that decides who may act.

Passwords, tokens and client secrets never appear; personal fields are masked in `changes`.
"""

from typing import Any, ClassVar, Literal

from pydantic import AwareDatetime

from libs.common.events.catalog import ApprovableData, Change, MessageData

_ID = "0199a0c0-0000-7000-8000-000000000001"


class UserCreated(ApprovableData):
    """An administrator's account came to be."""

    TYPE: ClassVar[str] = "reeve.user.created.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "create_user"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "role": "viewer", "is_active": True, "awaits_activation": False,
        "changes": {"role": {"new": "viewer"}, "email": {"new": "[redacted]"}},
    }  # fmt: skip

    user_id: str
    role: str
    is_active: bool
    awaits_activation: bool
    changes: dict[str, Change]


class UserRoleChanged(ApprovableData):
    """An administrator holds another role from now on."""

    TYPE: ClassVar[str] = "reeve.user.role_changed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "change_user_role"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "role": "admin", "changes": {"role": {"old": "viewer", "new": "admin"}},
    }  # fmt: skip

    user_id: str
    role: str
    changes: dict[str, Change]


class UserStatusChanged(ApprovableData):
    """An administrator's account was switched on or off."""

    TYPE: ClassVar[str] = "reeve.user.status_changed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "change_user_status"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "is_active": False, "reason": "left the company",
        "changes": {"is_active": {"old": True, "new": False}},
    }  # fmt: skip

    user_id: str
    is_active: bool
    reason: str | None = None
    changes: dict[str, Change]


class PasswordChanged(MessageData):
    """An administrator chose another password; their other sessions ended with it."""

    TYPE: ClassVar[str] = "reeve.user.password_changed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "change_password"
    EXAMPLE: ClassVar[dict[str, Any]] = {"user_id": _ID, "sessions_ended": 2}

    user_id: str
    sessions_ended: int


class UserLinkIssued(MessageData):
    """Somebody is sent a link that works once: to activate their account, or to choose another password."""

    TYPE: ClassVar[str] = "reeve.user.link_issued.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "issue_link"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "link_id": _ID, "kind": "activation", "expires_at": "2026-01-04T00:00:00Z",
    }  # fmt: skip

    user_id: str
    link_id: str
    kind: Literal["activation", "password_reset"]
    expires_at: AwareDatetime


class UserActivated(MessageData):
    """Whoever had the activation link of an account chose its first password."""

    TYPE: ClassVar[str] = "reeve.user.activated.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "activate_user"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "link_id": _ID, "changes": {"awaits_activation": {"old": True, "new": False}},
    }  # fmt: skip

    user_id: str
    link_id: str
    changes: dict[str, Change]


class UserPasswordReset(MessageData):
    """Whoever had the link chose another password for an account; all of its sessions ended with it."""

    TYPE: ClassVar[str] = "reeve.user.password_reset.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "reset_password"
    EXAMPLE: ClassVar[dict[str, Any]] = {"user_id": _ID, "link_id": _ID, "sessions_ended": 2}

    user_id: str
    link_id: str
    sessions_ended: int


class UserUpdated(ApprovableData):
    """An administrator's name or e-mail address changed. Both are personal and masked."""

    TYPE: ClassVar[str] = "reeve.user.updated.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "update_user"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "changes": {"email": {"old": "[redacted]", "new": "[redacted]"}},
    }  # fmt: skip

    user_id: str
    changes: dict[str, Change]


class UserDeleted(MessageData):
    """An administrator's account was switched off for good. Its record stays, so that entries keep their meaning."""

    TYPE: ClassVar[str] = "reeve.user.deleted.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "delete_user"
    EXAMPLE: ClassVar[dict[str, Any]] = {"user_id": _ID, "changes": {"is_active": {"old": True, "new": False}}}

    user_id: str
    changes: dict[str, Change]


class UserErased(MessageData):
    """The personal data of an administrator is gone from the gateway. Whoever keeps any of it is to erase theirs:
    it is what was recorded under this `user_id`."""

    TYPE: ClassVar[str] = "reeve.user.erased.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "erase_user"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "fields": ["email", "name"], "changes": {"email": {"old": "[redacted]"}},
    }  # fmt: skip

    user_id: str
    fields: list[str]
    changes: dict[str, Change]


class UserSessionsRevoked(MessageData):
    """All sessions of an administrator were ended by somebody else; each has its own event besides."""

    TYPE: ClassVar[str] = "reeve.user.sessions_revoked.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "revoke_sessions"
    EXAMPLE: ClassVar[dict[str, Any]] = {"user_id": _ID, "count": 2}

    user_id: str
    count: int


class UsersBulkChanged(MessageData):
    """One operation was asked for on many accounts. Each account's own event names this one as its cause."""

    TYPE: ClassVar[str] = "reeve.users.bulk_changed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "bulk_change_users"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "operation": "set_role", "role": "viewer", "requested": 3, "changed": 1, "unchanged": 1, "refused": 1,
    }  # fmt: skip

    operation: Literal["activate", "deactivate", "set_role", "revoke_sessions"]
    role: str | None = None
    reason: str | None = None
    requested: int
    changed: int
    unchanged: int
    refused: int
    awaiting_approval: int = 0


class SessionStarted(MessageData):
    """Somebody signed in."""

    TYPE: ClassVar[str] = "reeve.session.started.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "sign_in"
    EXAMPLE: ClassVar[dict[str, Any]] = {"session_id": _ID, "user_id": _ID}

    session_id: str
    user_id: str
    issuer: str | None = None
    """Who vouched for them, when it was not Reeve itself."""


class DeviceFirstSeen(MessageData):
    """Somebody signed in from where they had not signed in before: another network, or another kind of program.

    `address_prefix` is a network of the address, `device` the user agent without its version numbers.
    """

    TYPE: ClassVar[str] = "reeve.device.first_seen.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "sign_in_from_new_device"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "user_id": _ID, "session_id": _ID, "address_prefix": "198.51.100.0/24", "device": "Firefox on Linux",
    }  # fmt: skip

    user_id: str
    session_id: str
    address_prefix: str
    device: str


class SessionRefreshed(MessageData):
    """A session's refresh token was exchanged for new tokens."""

    TYPE: ClassVar[str] = "reeve.session.refreshed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "refresh_session"
    EXAMPLE: ClassVar[dict[str, Any]] = {"session_id": _ID, "user_id": _ID}

    session_id: str
    user_id: str


class SessionProved(MessageData):
    """Somebody who was signed in proved once more who they are."""

    TYPE: ClassVar[str] = "reeve.session.proved.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "step_up"
    EXAMPLE: ClassVar[dict[str, Any]] = {"session_id": _ID, "user_id": _ID}

    session_id: str
    user_id: str


class SessionEnded(MessageData):
    """A session ended; its tokens work nowhere any more."""

    TYPE: ClassVar[str] = "reeve.session.ended.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "end_session"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "session_id": _ID, "user_id": _ID, "reason": "signed_out", "action": "sign_out",
    }  # fmt: skip

    session_id: str
    user_id: str
    reason: Literal[
        "signed_out", "refresh_token_reused", "revoked", "password_changed", "displaced", "idle", "expired",
        "ended_by_issuer",
    ]  # fmt: skip
    action: Literal["sign_out", "end_session"]


class SignInFailed(MessageData):
    """Somebody tried to sign in and was refused. The tried e-mail address is masked."""

    TYPE: ClassVar[str] = "reeve.sign_in.failed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "sign_in"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "tried_email": "a***@example.com",
        "reason": "wrong_password",
        "outcome": "failure",
    }

    tried_email: str
    reason: Literal[
        "unknown_user", "wrong_password", "inactive", "awaits_activation", "wrong_code",
        "invalid_state", "provider_refused", "invalid_id_token", "no_role", "account_exists",
    ]  # fmt: skip
    issuer: str | None = None
    outcome: Literal["failure"] = "failure"


class SigningKeyRotated(MessageData):
    """Access tokens are signed with another key from `signs_from` on; where it revokes older ones, theirs hold no more."""

    TYPE: ClassVar[str] = "reeve.signing_key.rotated.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "rotate_signing_key"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "kid": "X4GIXtZwjKLhDIzBK--Gd_KYQWrfNL2nPOWiaBRjggY", "signs_from": "2026-01-01T00:00:00Z", "revokes_older": False,
    }  # fmt: skip

    kid: str
    signs_from: AwareDatetime
    revokes_older: bool


class TokenRevoked(MessageData):
    """A platform service took one of its access tokens back."""

    TYPE: ClassVar[str] = "reeve.token.revoked.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "revoke_token"
    EXAMPLE: ClassVar[dict[str, Any]] = {"client_id": "shop", "jti": _ID}

    client_id: str
    jti: str


class ClientRegistered(MessageData):
    """A platform service may call and send from now on, or may do other things than before."""

    TYPE: ClassVar[str] = "reeve.client.registered.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "register_client"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "client_id": "shop", "name": "Shop", "source": "/platform/shop", "event_types": ["com.shop.*"],
        "scopes": ["events:publish"],
    }  # fmt: skip

    client_id: str
    name: str
    source: str
    event_types: list[str]
    scopes: list[str]


class ClientDeleted(MessageData):
    """A platform service may no longer call or send."""

    TYPE: ClassVar[str] = "reeve.client.deleted.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "delete_client"
    EXAMPLE: ClassVar[dict[str, Any]] = {"client_id": "shop", "source": "/platform/shop"}

    client_id: str
    source: str
