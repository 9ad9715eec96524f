"""A search as it is kept and as it is answered."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from libs.common.events.saved_searches import SearchName
from services.gateway.features.schemas import ListResponse

MOST_FILTERS = 20


class SaveSearchRequest(BaseModel):
    """Filters of `/audit/logs` under a name. A shared search is seen by everybody who may search the log."""

    model_config = ConfigDict(extra="forbid")

    name: SearchName
    filters: Annotated[dict[str, Any], Field(max_length=MOST_FILTERS)]
    is_shared: StrictBool = False


class SavedSearchResponse(BaseModel):
    """One search. `is_own` says whether it is yours to delete."""

    id: str
    name: str
    filters: dict[str, Any]
    is_shared: bool
    is_own: bool
    created_by: str
    created_by_name: str | None
    created_at: datetime


class SavedSearchesResponse(ListResponse):
    """One page of your own searches and of those that others share, newest first."""

    saved_searches: list[SavedSearchResponse]
