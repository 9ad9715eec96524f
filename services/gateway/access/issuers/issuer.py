"""One issuer as it is known now: its document and its keys, fetched rarely and kept for a day.

A key that is not known makes at most one fetch a minute, whoever asks for whatever; those who ask
meanwhile wait for it. An issuer that does not answer changes nothing: the last good keys stay for
24 hours. One whose document speaks for somebody else is held back until that is repaired.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter

from libs.common import logs
from libs.common.egress.destinations import ForbiddenDestination
from services.gateway.access.issuers.egress import Egress
from services.gateway.access.issuers.keys import BadKeys, VerifyingKey, read_keys
from services.gateway.access.issuers.metadata import BadMetadata, Metadata, discovery_urls, read_metadata
from services.gateway.access.issuers.models import IssuerUnavailable

REFETCH_SECONDS = 60
"""At most one fetch of keys in this time, whatever the tokens name."""
REFRESH_SECONDS = 300
KEPT_SECONDS = 24 * 3600
REDISCOVERY_SECONDS = 24 * 3600

_FETCHES = Counter("reeve_jwks_fetches", "Fetches of an issuer's keys, by what came of them.", ("result",))
log = logs.get("issuers")


@dataclass(frozen=True, slots=True)
class _Known:
    metadata: Metadata
    keys: dict[str, VerifyingKey]
    thumbprints: frozenset[str]
    fetched_at: float


class Issuer:
    """The document and the keys of one issuer. `clock` counts seconds and never goes back."""

    def __init__(
        self,
        url: str,
        *,
        origins: frozenset[str],
        egress: Egress,
        clock: Callable[[], float] = time.monotonic,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self.url = url
        self.origins = origins
        self._egress = egress
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._known: _Known | None = None
        self._discovered_at = float("-inf")
        self._attempted_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def run(self) -> None:
        """Keep document and keys fresh until cancelled."""
        while True:
            async with self._fetching:
                await self._refresh()
            await asyncio.sleep(self._refresh_seconds if self._known is not None else REFETCH_SECONDS)

    async def metadata(self) -> Metadata:
        """What the issuer publishes about itself. Raises `IssuerUnavailable`."""
        return (await self._current()).metadata

    async def key(self, kid: str) -> VerifyingKey | None:
        """The key of this name, or None. Raises `IssuerUnavailable` when there are no keys to look among."""
        known = await self._current()
        found = known.keys.get(kid)
        if found is not None:
            return found
        await self._refetch()
        return (await self._current()).keys.get(kid)

    def holds(self, thumbprint: str) -> bool:
        """Whether this very key is among those known, without asking anybody."""
        return self._known is not None and thumbprint in self._known.thumbprints and self._is_kept(self._known)

    async def _current(self) -> _Known:
        if self._known is None or not self._is_kept(self._known):
            await self._refetch()
        known = self._known
        if known is None or not self._is_kept(known):
            raise IssuerUnavailable(f"no keys of {self.url}")
        return known

    def _is_kept(self, known: _Known) -> bool:
        return self._clock() - known.fetched_at < KEPT_SECONDS

    def _may_fetch(self) -> bool:
        return self._clock() - self._attempted_at >= REFETCH_SECONDS

    async def _refetch(self) -> None:
        # Whoever comes while a fetch is under way waits for that one: it may bring the key they need.
        if not self._fetching.locked() and not self._may_fetch():
            return
        async with self._fetching:
            if self._may_fetch():
                await self._refresh()

    async def _refresh(self) -> None:
        self._attempted_at = self._clock()
        try:
            metadata = await self._discovered()
            answer = await self._egress.get(metadata.jwks_uri, origins=self.origins)
            if answer.status != 200:
                raise IssuerUnavailable(f"{metadata.jwks_uri} answered {answer.status}")
            keys = read_keys(answer.body)
        except asyncio.CancelledError:
            self._attempted_at = float("-inf")  # Nobody tried; the next one may.
            raise
        except (BadKeys, BadMetadata, ForbiddenDestination) as error:
            self._report("refused", error)
            log.error("issuer held back", issuer=self.url, reason=str(error), keeps_old_keys=self._known is not None)
        except IssuerUnavailable as error:
            self._report("unavailable", error)
            log.warning("issuer does not answer", issuer=self.url, reason=str(error), has_keys=self._known is not None)
        else:
            thumbprints = frozenset(key.thumbprint for key in keys.values())
            self._known = _Known(metadata, keys, thumbprints, self._clock())
            self._report("fetched", None)

    def _report(self, result: str, error: Exception | None) -> None:
        if isinstance(error, BadMetadata):
            self._known = None  # It speaks for somebody else, or leads elsewhere: nothing of it is believed any more.
        _FETCHES.labels(result).inc()

    async def _discovered(self) -> Metadata:
        if self._known is not None and self._clock() - self._discovered_at < REDISCOVERY_SECONDS:
            return self._known.metadata
        for url in discovery_urls(self.url):
            answer = await self._egress.get(url, origins=self.origins)
            if answer.status == 200:
                found = read_metadata(answer.body, issuer=self.url, origins=self.origins)
                self._discovered_at = self._clock()
                return found
            if answer.status != 404:
                raise IssuerUnavailable(f"{url} answered {answer.status}")
        raise IssuerUnavailable(f"{self.url} publishes no document about itself")
