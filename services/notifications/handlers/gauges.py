"""How many alerts are active, for Prometheus: measured after every change that passes here, and now and then."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from prometheus_client import Gauge

from libs.common import logs
from libs.common.database.engine import Database, is_transient
from libs.common.delivery.arrivals import Arrived
from services.notifications.models import SEVERITIES
from services.notifications.store import alerts

ALERTS_ACTIVE = Gauge("reeve_alerts_active", "Alerts that nobody has resolved.", ("severity",))
SAMPLE_SECONDS = 15.0
REST_SECONDS = 1.0
"""Between two measurements at least, however fast alerts change."""

log = logs.get("alerts")


class ActiveAlerts:
    """Keeps `reeve_alerts_active`. Every instance measures the same table: take the maximum over instances."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = asyncio.Event()

    async def notice(self, arrived: Sequence[Arrived]) -> None:
        """Measure soon when one of these events is about an alert."""
        if any(one.event.type.startswith("reeve.alert.") for one in arrived):
            self._changed.set()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self.measure()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("active alerts not measured", error=type(error).__name__)
            await asyncio.sleep(REST_SECONDS)
            try:
                async with asyncio.timeout(SAMPLE_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def measure(self) -> None:
        """Set the gauge of every severity, those without alerts too."""
        async with self._database.reading() as session:
            found = await alerts.active(session)
        counts: Counter[str] = Counter()
        for (_, severity), count in found.items():
            counts[severity] += count
        for severity in SEVERITIES:
            ALERTS_ACTIVE.labels(severity).set(counts[severity])
