"""What every list takes and answers, and what a write answers that is not applied yet."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator

from libs.common.web.paging import PageQuery

Responses = dict[int | str, dict[str, Any]]

_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt]")


def _spelled_out(given: object) -> object:
    # Pydantic also reads a number as seconds since 1970, which the description does not allow.
    if not isinstance(given, datetime) and not (isinstance(given, str) and _DATE.match(given)):
        raise ValueError("must be a time such as 2026-01-01T00:00:00Z")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_spelled_out)]


class ListQuery(PageQuery):
    """Paging: `limit` with either `skip` (at most 10,000) or `cursor`."""


class ListResponse(BaseModel):
    """The members that every list has beside its own. `total` counts up to 10,000."""

    total: int
    total_is_exact: bool
    skip: int
    limit: int
    next_cursor: str | None


class OperationAccepted(BaseModel):
    """The write is durable and will be applied exactly once; `Location` names where to ask."""

    operation_id: str
    status: Literal["accepted"]


NOT_MODIFIED: Responses = {304: {"description": "The version that `If-None-Match` names is still the current one."}}


def answers(model: type[BaseModel], *, status: int = 200) -> Responses:
    """The description of an answer that is passed on unchanged and so has no model at run time."""
    return {status: {"model": model}}


def outcomes(model: type[BaseModel] | None, *statuses: int) -> Responses:
    """The description of what a command ends in: its result by any of `statuses`, or 202."""
    accepted: Responses = {202: {"model": OperationAccepted, "description": "Accepted; to be polled."}}
    return {**{status: {"model": model} if model else {} for status in statuses}, **accepted}
