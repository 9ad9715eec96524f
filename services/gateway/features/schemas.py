"""Query parameters that every list route has."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ListQuery(BaseModel):
    """Paging: `limit` with either `skip` (at most 10,000) or `cursor`."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200, description="At most this many.")] = 50
    skip: Annotated[int, Field(ge=0, description="Leave out this many; at most 10,000, beyond it use `cursor`.")] = 0
    cursor: Annotated[str | None, Field(max_length=1024, description="`next_cursor` of the answer before.")] = None
