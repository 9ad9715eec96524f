"""Bodies of enrolling a second factor."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class EnrolmentResponse(BaseModel):
    """What an authenticator application takes in: the URI as a QR code, or the secret by hand. Shown this once."""

    otpauth_uri: str
    secret: str


class ConfirmRequest(BaseModel):
    """The first code that the application shows."""

    model_config = ConfigDict(extra="forbid")

    otp: Annotated[str, Field(min_length=6, max_length=7)]


class RecoveryCodesResponse(BaseModel):
    """Each signs in once in place of a code. Shown this once."""

    recovery_codes: list[str]
