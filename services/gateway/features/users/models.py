"""An administrator's account, and what its fields must look like."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from services.gateway.access.permissions import Rights
from services.gateway.access.weakness import LEAST_PASSWORD, MOST_PASSWORD

_LOCAL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"

Email = Annotated[
    str, StringConstraints(max_length=254, pattern=f"^{_LOCAL}@{_DOMAIN}$"), AfterValidator(lambda text: text.lower())
]
"""The addresses that a browser's e-mail field takes (HTML, 4.10.5.1.5), in lower case: one account each."""
UserName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
NewPassword = Annotated[SecretStr, Field(min_length=LEAST_PASSWORD, max_length=MOST_PASSWORD)]


class UserChange(StrEnum):
    """The changes of accounts that need four eyes where they give somebody everything."""

    CREATION = "user_creation"
    ROLE = "user_role"
    STATUS = "user_status"
    ADDRESS = "user_address"
    """Whoever may set somebody's address may become them."""


@dataclass(frozen=True, slots=True)
class User:
    """An account without its password. `borrowed` is what it holds for a time beside its role's rights."""

    id: str
    email: str
    name: str
    role: str
    rights: Rights
    borrowed: frozenset[str]
    is_active: bool
    awaits_activation: bool
    version: int
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None
    erased_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account to be made. Without a password hash it awaits activation."""

    email: str
    name: str
    role: str
    password_hash: str | None


def masked_email(text: str) -> str:
    """An e-mail address that can be recognized and not read: `a***@example.com`."""
    local, at, domain = text.strip().lower()[:254].rpartition("@")
    return f"{local[:1]}***{at}{domain}" if at else "***"
