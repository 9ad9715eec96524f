"""Searches kept and given up: what a write does, and the event that it leaves."""

from collections.abc import Mapping
from uuid import UUID

from libs.common.database.engine import Session
from libs.common.delivery.asked import administrator_of, outcome_of, read_command
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.errors import Conflict, Forbidden, NotFound
from libs.common.events.envelope import Event
from libs.common.events.saved_searches import DeleteSavedSearch, SavedSearchDeleted, SaveSearch, SearchSaved
from services.audit.schemas import filters_of, saved_search_body
from services.audit.store import saved_searches as store

MOST_OF_ONE = 100
DOING = "keep searches"


async def save_search(session: Session, command: Event) -> Event:
    """Applies `SaveSearch`: 201. Raises 422 for a filter that the list does not have, 409 for a name that is taken."""
    asked = read_command(SaveSearch, command, doing=DOING)
    owner = administrator_of(command)
    filters = filters_of(asked.filters, below=("body", "filters")).named()
    if await store.count_of(session, owner) >= MOST_OF_ONE:
        raise Conflict(f"you keep {MOST_OF_ONE} searches already; delete one", code="too_many_saved_searches")
    saved = await store.append(
        session, owner_id=owner, owner_name=asked.origin.username if asked.origin else None, name=asked.name,
        filters=filters, is_shared=asked.is_shared,
    )  # fmt: skip
    if saved is None:
        raise Conflict(f"you keep a search of the name {asked.name} already", code="saved_search_exists")
    data = SearchSaved(
        status=201, result=saved_search_body(saved, reader_id=owner), saved_search_id=str(saved.id), name=saved.name,
        is_shared=saved.is_shared, origin=asked.origin,
    )  # fmt: skip
    return outcome_of(command, data, subject=f"saved_search/{saved.id}")


async def delete_saved_search(session: Session, command: Event) -> Event:
    """Applies `DeleteSavedSearch`: 204. A private one of somebody else is none; a shared one stays its owner's."""
    asked = read_command(DeleteSavedSearch, command, doing=DOING)
    owner = administrator_of(command)
    search_id = _id(asked.saved_search_id)
    found = await store.find(session, search_id, reader_id=owner)
    if found is None:
        raise saved_search_not_found(asked.saved_search_id)
    if found.owner_id != owner:
        raise Forbidden("a shared search is deleted by whoever keeps it", code="not_owner")
    await store.delete(session, search_id, owner_id=owner)
    data = SavedSearchDeleted(status=204, saved_search_id=str(search_id), name=found.name, origin=asked.origin)
    return outcome_of(command, data, subject=f"saved_search/{search_id}")


def saved_search_not_found(search_id: str) -> NotFound:
    """There is none, or it is another's: nobody is told which."""
    return NotFound(f"no saved search {search_id[:64]}", code="saved_search_not_found")


COMMANDS: Mapping[str, CommandHandler] = {
    SaveSearch.TYPE: one_by_one(save_search),
    DeleteSavedSearch.TYPE: one_by_one(delete_saved_search),
}
"""By wire type."""


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise saved_search_not_found(text) from None
