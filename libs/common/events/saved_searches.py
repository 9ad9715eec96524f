"""Messages about searches of the audit log that administrators keep."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from libs.common.events.catalog import CommandData, OutcomeData

_GATEWAY = "/reeve/gateway"
_AUDIT = "/reeve/audit"
_ID = "0199a0c0-0000-7000-8000-000000000001"
_FILTERS = {"outcome": ["denied"], "target_type": ["user"]}

SearchName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
"""What a search is called: no blanks around it."""


class SaveSearch(CommandData):
    """Keep filters under a name, for the acting administrator or for everybody who may search."""

    TYPE: ClassVar[str] = "reeve.command.saved_search.create.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "save_search"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "save_search", "name": "Refused user changes", "filters": _FILTERS}

    action: Literal["save_search"] = "save_search"
    name: SearchName
    filters: dict[str, Any]
    is_shared: bool = False


class DeleteSavedSearch(CommandData):
    """Keep a search no longer."""

    TYPE: ClassVar[str] = "reeve.command.saved_search.delete.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "delete_saved_search"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "delete_saved_search", "saved_search_id": _ID}

    action: Literal["delete_saved_search"] = "delete_saved_search"
    saved_search_id: str


class SearchSaved(OutcomeData):
    """A search is kept."""

    TYPE: ClassVar[str] = "reeve.saved_search.created.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "save_search"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 201, "saved_search_id": _ID, "name": "Refused user changes", "is_shared": False,
        "result": {"id": _ID, "name": "Refused user changes"},
    }  # fmt: skip

    saved_search_id: str
    name: str
    is_shared: bool


class SavedSearchDeleted(OutcomeData):
    """A search is kept no longer."""

    TYPE: ClassVar[str] = "reeve.saved_search.deleted.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "delete_saved_search"
    EXAMPLE: ClassVar[dict[str, Any]] = {"status": 204, "saved_search_id": _ID, "name": "Refused user changes"}

    saved_search_id: str
    name: str
