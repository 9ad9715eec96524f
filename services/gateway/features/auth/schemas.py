"""Bodies of signing in and staying signed in."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.gateway.access.weakness import MOST_PASSWORD
from services.gateway.features.users.models import NewPassword
from services.gateway.features.users.schemas import AdminResponse

Otp = Annotated[str, Field(min_length=1, max_length=32)]


class SignInRequest(BaseModel):
    """Who signs in. `otp` is asked for once a second factor is enrolled."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=MOST_PASSWORD)]
    otp: Otp | None = None


class RefreshRequest(BaseModel):
    """A refresh token, to be exchanged for the next one. It works once."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: Annotated[SecretStr, Field(min_length=1, max_length=256)]


class ChangePasswordRequest(BaseModel):
    """The password that holds now, and the one that shall hold from now on."""

    model_config = ConfigDict(extra="forbid")

    old_password: Annotated[SecretStr, Field(min_length=1, max_length=MOST_PASSWORD)]
    new_password: NewPassword


class StepUpRequest(BaseModel):
    """A fresh proof of who asks. `otp` is asked for once a second factor is enrolled."""

    model_config = ConfigDict(extra="forbid")

    password: Annotated[SecretStr, Field(min_length=1, max_length=MOST_PASSWORD)]
    otp: Otp | None = None


class StepUpResponse(BaseModel):
    """A new access token of the same session, whose `auth_time` is now."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - OAuth's word for how the token is used
    expires_in: int


class BrowserSessionResponse(BaseModel):
    """Who is signed in by cookie; the cookie alone has the credential. `expires_at` is when the session ends at the latest."""

    admin: AdminResponse
    expires_at: datetime


class RenewedCookieResponse(BaseModel):
    """The cookie was replaced by one with a fresh proof. `expires_at` is when the session ends at the latest."""

    expires_at: datetime


class TokensResponse(BaseModel):
    """The tokens of a session and whose it is. `expires_in` is the access token's life in seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - OAuth's word for how the token is used
    expires_in: int
    refresh_token: str
    admin: AdminResponse
