"""Messages about accounts, sessions and clients: everything that decides who may act.

Passwords, tokens and client secrets never appear; personal fields are masked in `changes`.
"""

from typing import Any, ClassVar, Literal

from libs.common.events.catalog import Change, MessageData

_ID = "0199a0c0-0000-7000-8000-000000000001"


class UserCreated(MessageData):
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


class UserRoleChanged(MessageData):
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


class UserStatusChanged(MessageData):
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


class SessionRefreshed(MessageData):
    """A session's refresh token was exchanged for new tokens."""

    TYPE: ClassVar[str] = "reeve.session.refreshed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "refresh_session"
    EXAMPLE: ClassVar[dict[str, Any]] = {"session_id": _ID, "user_id": _ID}

    session_id: str
    user_id: str


class SessionEnded(MessageData):
    """A session ended before its time; its tokens work nowhere any more."""

    TYPE: ClassVar[str] = "reeve.session.ended.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "end_session"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "session_id": _ID, "user_id": _ID, "reason": "signed_out", "action": "sign_out",
    }  # fmt: skip

    session_id: str
    user_id: str
    reason: Literal["signed_out", "refresh_token_reused", "revoked", "ended_by_issuer"]
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
        "unknown_user", "wrong_password", "inactive", "awaits_activation",
        "invalid_state", "provider_refused", "invalid_id_token", "no_role", "account_exists",
    ]  # fmt: skip
    issuer: str | None = None
    outcome: Literal["failure"] = "failure"


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
