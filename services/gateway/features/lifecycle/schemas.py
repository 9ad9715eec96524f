"""Bodies about whether an account may be used."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StrictBool, StringConstraints

Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ChangeStatusRequest(BaseModel):
    """Whether an account may be used, and why."""

    model_config = ConfigDict(extra="forbid")

    is_active: StrictBool
    reason: Reason | None = None
