"""Taking events, as callers see it."""

from pydantic import BaseModel


class AcceptedResponse(BaseModel):
    """How many events are durable now."""

    accepted: int
