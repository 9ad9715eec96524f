"""Who may speak for what, kept for a few seconds; evicted when a client is registered or deleted."""

from collections.abc import Mapping

from libs.common.database.engine import Database
from libs.common.delivery.senders import RegisteredClient
from services.gateway.access import store
from services.gateway.access.cache import ShortCache

CACHE_SECONDS = 5.0
_ALL = "all"


class Senders:
    """The registered clients, read at most every five seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: ShortCache[Mapping[str, RegisteredClient]] = ShortCache(ttl_seconds=CACHE_SECONDS, most_keys=1)

    async def clients(self) -> Mapping[str, RegisteredClient]:
        """Every client by its id."""
        known = self._cache.find(_ALL)
        return known if known is not None else await self._cache.load(_ALL, self._load)

    def evict(self) -> None:
        """Read them again next time."""
        self._cache.evict()

    async def _load(self) -> Mapping[str, RegisteredClient]:
        async with self._database.reading() as session:
            return await store.load_senders(session)
