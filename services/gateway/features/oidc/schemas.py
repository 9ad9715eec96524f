"""What a provider sends with a browser that comes back."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Short = Annotated[str | None, Field(max_length=256)]


class CallbackQuery(BaseModel):
    """The answer of the provider (RFC 6749, 4.1.2; RFC 9207, 2). What else it adds is passed over."""

    model_config = ConfigDict(extra="ignore")

    state: Short = None
    code: Annotated[str | None, Field(max_length=2048)] = None
    iss: Annotated[str | None, Field(max_length=512)] = None
    error: Short = None
