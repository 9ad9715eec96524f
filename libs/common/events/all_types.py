"""Every message type of the platform, collected from the areas."""

from libs.common.events import exports, notifications, platform, requests, saved_searches, settings, users
from libs.common.events.catalog import Catalog, MessageData


def _models() -> tuple[type[MessageData], ...]:
    found: dict[str, type[MessageData]] = {}
    for area in (requests, users, settings, notifications, platform, exports, saved_searches):
        for thing in vars(area).values():
            if isinstance(thing, type) and issubclass(thing, MessageData) and "TYPE" in vars(thing):
                found[thing.TYPE] = thing
    return tuple(found[name] for name in sorted(found))


CATALOG = Catalog(_models())
