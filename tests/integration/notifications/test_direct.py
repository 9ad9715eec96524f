"""The direct path: an event that the gateway brings itself makes what it makes once, whichever way it comes first."""

import hashlib
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from libs.common.assertions import HEADER
from libs.common.database import inbox
from libs.common.delivery.subscriber import INBOX_DAYS, MOST_INBOX_ROWS
from libs.common.events.catalog import new_event
from libs.common.events.envelope import STRUCTURED, Event, encode
from libs.common.events.security import SecurityEventRaised
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from tests.integration.notifications.conftest import Reader
from tests.integration.notifications.desk import Desk, platform_event

GATEWAY = Actor("gateway", ActorType.SYSTEM, "gateway", None, Level.NONE, frozenset())


def raised(subject: str = "ada", severity: Any = "critical") -> Event:
    data = SecurityEventRaised(
        security_event_id="e1",
        event_type="token_reuse",
        security_severity=severity,
        rule="token_reuse",
        subject=subject,
    )
    return new_event(data, subject="security_event/e1", severity="critical" if severity == "critical" else None)


async def tell(reader: Reader, event: Event, *, body: bytes | None = None, digest: str | None = None) -> httpx.Response:
    sent = encode(event)
    path = f"/internal/notifications/direct/{digest or hashlib.sha256(sent).hexdigest()}"
    token = reader.minter.mint(
        Caller(GATEWAY, Origin(), "c"), audience="notifications", permission="alerts:write", method="PUT", target=path
    )
    headers = {HEADER: token, "content-type": STRUCTURED}
    return await reader.client.put(path, content=body or sent, headers=headers)


async def made(desk: Desk) -> tuple[int, int]:
    """Notifications, and occurrences of alerts."""
    occurrences = await desk.value("SELECT coalesce(sum(occurrence_count), 0)::int FROM alerts")
    return await desk.value("SELECT count(*) FROM notifications"), occurrences


@pytest.mark.parametrize(
    "ways", [("direct",), ("bus",), ("direct", "bus"), ("bus", "direct"), ("direct", "direct", "bus")]
)
async def test_one_event_makes_one_alert_and_one_notification(
    desk: Desk, reader: Reader, ways: tuple[str, ...]
) -> None:
    event = raised()
    for way in ways:
        if way == "bus":
            await desk.hear(event)
        else:
            assert (await tell(reader, event)).status_code == 204
    assert await made(desk) == (1, 1)


async def test_events_of_one_batch_are_known_one_by_one(desk: Desk, reader: Reader) -> None:
    known, new = raised(), raised("bob")
    await tell(reader, known)
    await desk.hear(known, platform_event(), new, new)
    assert await made(desk) == (3, 2)


async def test_other_events_come_by_the_bus_alone(desk: Desk, reader: Reader) -> None:
    refused = await tell(reader, platform_event("com.shop.payment.lost.v1", severity="critical"))
    assert (refused.status_code, refused.json()["detail"]["error"]) == (422, "invalid_event")
    assert await made(desk) == (0, 0)


async def test_an_assertion_says_one_event_and_no_other(desk: Desk, reader: Reader) -> None:
    assert (await tell(reader, raised(), body=encode(raised("bob")))).status_code == 422
    assert (await tell(reader, raised(), body=b"{}", digest=hashlib.sha256(b"{}").hexdigest())).status_code == 422
    unasserted = await reader.client.put(f"/internal/notifications/direct/{'0' * 64}", content=encode(raised()))
    assert unasserted.status_code == 401
    assert await made(desk) == (0, 0)


@pytest.mark.parametrize("days", [0.0, 6 / 1440, INBOX_DAYS - 0.01], ids=["at once", "six minutes later", "a purge"])
async def test_a_captured_call_tells_nothing_more_when_it_is_made_again(
    desk: Desk, reader: Reader, days: float
) -> None:
    """Within its thirty seconds by its own assertion, and later even by one of a new minute."""
    event = raised()
    sent = encode(event)
    path = f"/internal/notifications/direct/{hashlib.sha256(sent).hexdigest()}"
    caller = Caller(GATEWAY, Origin(), "c")
    token = reader.minter.mint(caller, audience="notifications", permission="alerts:write", method="PUT", target=path)
    for _ in range(3):
        answer = await reader.client.put(path, content=sent, headers={HEADER: token, "content-type": STRUCTURED})
        assert answer.status_code == 204
    async with desk.database.transaction() as session:
        await session.execute(
            text("UPDATE inbox_foreign SET seen_at = seen_at - make_interval(secs => :days * 86400)"), {"days": days}
        )
        await inbox.prune(session, most_rows=MOST_INBOX_ROWS, older_than_days=INBOX_DAYS)
    assert (await tell(reader, event)).status_code == 204
    assert await made(desk) == (1, 1)
