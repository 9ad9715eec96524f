"""Every message type of the platform, collected from the areas."""

from libs.common.events import (
    access,
    approvals,
    audit,
    dead_letters,
    deliveries,
    erasures,
    event_types,
    exports,
    notifications,
    platform,
    quarantine,
    redactions,
    refusals,
    requests,
    retention,
    saved_searches,
    security,
    settings,
    sign_in,
    sinks,
    users,
)
from libs.common.events.catalog import Catalog, MessageData


def _models() -> tuple[type[MessageData], ...]:
    found: dict[str, type[MessageData]] = {}
    areas = (
        requests, users, sign_in, access, approvals, settings, notifications, platform, audit, exports, saved_searches,
        deliveries, redactions, quarantine, security, retention, sinks, erasures, event_types, refusals, dead_letters,
    )  # fmt: skip
    for area in areas:
        for thing in vars(area).values():
            if isinstance(thing, type) and issubclass(thing, MessageData) and "TYPE" in vars(thing):
                found[thing.TYPE] = thing
    return tuple(found[name] for name in sorted(found))


CATALOG = Catalog(_models())
