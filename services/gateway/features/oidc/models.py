"""The browser's part in signing in elsewhere, and what an identity needs to have an account: pure.

Nothing is stored when a browser sets out. Its cookie holds a secret; `state` is bound to that secret
and to this gateway by a MAC, nonce and PKCE verifier are derived from it. Whoever has only the
database, only the address line or only the log can neither finish a sign-in nor redeem a code.
"""

import base64
import hmac
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from services.gateway.access.issuers.models import external_id
from services.gateway.features.users.models import Email, UserName

COOKIE = "__Host-reeve-sign-in"
STATE_SECONDS = 600
"""For how long somebody may take to sign in at the provider."""
SECRET_BYTES = 32

FailureReason = Literal[
    "invalid_state", "provider_refused", "invalid_id_token", "no_role", "account_exists", "inactive"
]

MOST_RETURN = 512
_KEPT = re.compile(r"[A-Za-z0-9_-]{43}(?:\.[A-Za-z0-9_-]{0,700})?")
_LOCAL_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@%?-][A-Za-z0-9._~!$&'()*+,;=:@%?/-]*)?")
_STATE = re.compile(r"[A-Za-z0-9_-]{75}")
_HEAD = struct.Struct(">Q16s")
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)
_NAME: TypeAdapter[str] = TypeAdapter(UserName)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to the provider and back. `state` travels in the address, the rest never does in the clear."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier (RFC 7636, 4.2, S256)."""
        return encoded(sha256(self.verifier.encode()).digest())


@dataclass(frozen=True, slots=True)
class Wish:
    """To be signed in by cookie, and to be sent to a path of the platform's own origin then."""

    return_to: str | None


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account is made of, of whom the issuer said enough."""

    email: str
    name: str
    role: str


def kept_value(secret: str, *, by_cookie: bool, return_to: str | None) -> str:
    """What the browser's cookie holds on the way: the secret and, where it is to be signed in by cookie, a dot and
    where it wants to go then. All of it is bound to `state`."""
    if not by_cookie:
        return secret
    return f"{secret}.{encoded((return_to or '').encode('ascii'))}"


def wish_of(kept: str) -> Wish | None:
    """What a browser that came back wants; None for tokens. `kept` is a value that `resume` took."""
    _, dot, wanted = kept.partition(".")
    if not dot:
        return None
    return Wish(base64.urlsafe_b64decode(wanted + "=" * (-len(wanted) % 4)).decode("ascii") or None)


def is_local_path(text: str) -> bool:
    """Whether a text is a path (and query) of the platform's own origin, and nothing that a browser could take for
    another one: no scheme, no second slash at its beginning, no backslash, no fragment, no control character."""
    return len(text) <= MOST_RETURN and _LOCAL_PATH.fullmatch(text) is not None


def begin(key: bytes, secret: str, *, now: float, random: bytes) -> Attempt:
    """Set out with what a browser's cookie holds. `random` are 16 bytes, `now` Unix seconds."""
    head = _HEAD.pack(int(now), random)
    return _attempt(key, secret, encoded(head + _mac(key, b"state", head + secret.encode())))


def resume(key: bytes, secret: str | None, state: str | None, *, now: float) -> Attempt | None:
    """The attempt that this browser set out with; None unless state and cookie are of one attempt, of late."""
    if secret is None or state is None or not _KEPT.fullmatch(secret) or not _STATE.fullmatch(state):
        return None
    content = base64.urlsafe_b64decode(state + "=" * (-len(state) % 4))
    head, mac = content[: _HEAD.size], content[_HEAD.size :]
    if encoded(content) != state or not hmac.compare_digest(mac, _mac(key, b"state", head + secret.encode())):
        return None
    (began, _) = _HEAD.unpack(head)
    return _attempt(key, secret, state) if 0 <= now - began <= STATE_SECONDS else None


def spent_digest(kind: str, *parts: str) -> bytes:
    """What is kept of something that works once: 32 bytes from which it cannot be made again."""
    return sha256("\0".join((kind, *parts)).encode()).digest()


def new_account(issuer: str, subject: str, claims: Mapping[str, Any], *, role: str) -> NewAccount:
    """The account of somebody who signs in for the first time.

    An address that the issuer does not call verified is not taken over: it would take that address from whoever
    has it. Instead there is one that belongs to nobody (RFC 2606, 2).
    """
    email = claims.get("email") if claims.get("email_verified") is True else None
    nobody = f"{external_id(issuer, subject)}@external.invalid"
    return NewAccount(
        email=_valid(_EMAIL, email) or nobody,
        name=_valid(_NAME, claims.get("name")) or _valid(_NAME, subject) or nobody,
        role=role,
    )


def encoded(content: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _attempt(key: bytes, secret: str, state: str) -> Attempt:
    def derived(what: bytes) -> str:
        return encoded(_mac(key, what, f"{secret}.{state}".encode()))

    return Attempt(state=state, nonce=derived(b"nonce"), verifier=derived(b"verifier"))


def _mac(key: bytes, purpose: bytes, content: bytes) -> bytes:
    return hmac.digest(key, b"oidc sign-in " + purpose + b"\0" + content, "sha256")


def _valid(form: TypeAdapter[str], value: object) -> str | None:
    try:
        return form.validate_python(value, strict=True)
    except ValidationError:
        return None
