"""Bodies about links and the passwords that are chosen with them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.gateway.features.users.models import NewPassword


class ChoosePasswordRequest(BaseModel):
    """The token of a link, and the password that shall hold from now on."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[SecretStr, Field(min_length=1, max_length=256, description="What follows `#token=` in the link.")]
    password: NewPassword


class ForgotPasswordRequest(BaseModel):
    """Whose password was forgotten."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, Field(min_length=1, max_length=254)]


class AcceptedResponse(BaseModel):
    """What is always answered: whether there is such an account is not said."""

    message: str = "if there is such an account, a link is on its way to its address"


class ActivationLinkResponse(BaseModel):
    """A link that is on its way. It is never answered, only sent."""

    user_id: str
    expires_at: datetime
