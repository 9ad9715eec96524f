"""What a provider sends with a browser that comes back."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.gateway.features.oidc.models import MOST_RETURN, is_local_path

Short = Annotated[str | None, Field(max_length=256)]


def _local(path: str) -> str:
    if not is_local_path(path):
        raise ValueError("must be a path of this origin, such as /console?tab=1")
    return path


class SetOutQuery(BaseModel):
    """How a browser wants to come back: with tokens in the answer, or signed in by cookie and sent to a path."""

    model_config = ConfigDict(extra="forbid")

    session: Annotated[
        Literal["cookie"] | None, Field(description="`cookie`: be signed in by a cookie; no tokens are answered.")
    ] = None
    return_to: Annotated[
        Annotated[str, Field(max_length=MOST_RETURN), AfterValidator(_local)] | None,
        Field(description="With `session=cookie`: where to go then, a path of this origin."),
    ] = None


class CallbackQuery(BaseModel):
    """The answer of the provider (RFC 6749, 4.1.2; RFC 9207, 2). What else it adds is passed over."""

    model_config = ConfigDict(extra="ignore")

    state: Short = None
    code: Annotated[str | None, Field(max_length=2048)] = None
    iss: Annotated[str | None, Field(max_length=512)] = None
    error: Short = None
