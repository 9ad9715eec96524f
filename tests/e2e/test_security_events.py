"""Security events of a deployed platform: counted once over all gateways, and told of with the broker gone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from libs.common.ids import new_id
from tests.demo.administrator import ADMIN, Administrator
from tests.support.eventually import eventually
from tests.support.platforms import SECOND_GATEWAY
from tests.support.processes import Platform
from tests.support.tcp_proxy import TcpProxy

GUESS = "this is not it"
WITHIN_SECONDS = 30.0


@dataclass(slots=True)
class Site:
    """A platform whose way to the broker can be cut, and its first super admin."""

    platform: Platform
    proxy: TcpProxy
    http: httpx.AsyncClient
    admin: Administrator

    async def a_user(self) -> dict[str, Any]:
        """A new viewer, with the password beside."""
        password = f"Quite-{new_id()}-long"
        body = {"email": f"{new_id()}@example.com", "name": "Ada", "role": "viewer", "password": password}
        answer = await self.admin.call("POST", "/users", json=body)
        assert answer.status_code == 201, answer.text
        return {**answer.json(), "password": password}

    async def reuse_a_refresh_token(self) -> str:
        """Whose token was used twice."""
        user = await self.a_user()
        body = {"email": user["email"], "password": user["password"]}
        tokens = (await self.http.post(f"{ADMIN}/auth/login", json=body)).raise_for_status().json()
        again = {"refresh_token": tokens["refresh_token"]}
        statuses = [(await self.http.post(f"{ADMIN}/auth/refresh", json=again)).status_code for _ in range(2)]
        assert statuses == [200, 401]
        return str(user["id"])

    async def event_of(self, user_id: str, **filters: str) -> dict[str, Any]:
        """The one security event that there will be about somebody."""

        async def found() -> list[dict[str, Any]]:
            events: list[dict[str, Any]] = (await self.admin.get("/security/events", user_id=user_id, **filters))[
                "events"
            ]
            return events

        await eventually(found, within_seconds=WITHIN_SECONDS)
        (event,) = await found()
        return event

    async def told_by(self, event: dict[str, Any], way: str) -> None:
        """Return once it is noted how notifications learnt of an event."""

        async def is_told() -> bool:
            return bool((await self.admin.get(f"/security/events/{event['id']}"))["told_by"] == way)

        await eventually(is_told, within_seconds=WITHIN_SECONDS)

    async def alerts_about(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The alerts that name whom an event is about."""
        found = (await self.admin.get("/notifications/alerts", alert_type="security"))["alerts"]
        return [one for one in found if event["subject"] in one["title"]]

    async def bus_brought(self, event: dict[str, Any]) -> None:
        """Return once the bus has brought an event to every consumer: audit has it, and notifications is up to date."""
        subject = {"action": "raise_security_event", "target_id": event["id"]}

        async def is_there() -> bool:
            return bool((await self.admin.get("/audit/logs", **subject))["logs"])

        await eventually(is_there, within_seconds=WITHIN_SECONDS)
        connection = await asyncpg.connect(self.platform.admin_database)
        try:

            async def is_up_to_date() -> bool:
                sent = await connection.fetchval("SELECT last FROM gateway.outbox_counter WHERE stream = 'events'")
                seen = await connection.fetchval(
                    "SELECT watermark FROM notifications.inbox WHERE consumer = 'notifications.events'"
                    " AND producer = 'gateway'"
                )
                waiting = await connection.fetchval("SELECT count(*) FROM gateway.outbox")
                return bool(sent == seen and waiting == 0)

            await eventually(is_up_to_date, within_seconds=WITHIN_SECONDS)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def site(cuttable: tuple[Platform, TcpProxy]) -> AsyncIterator[Site]:
    """The platform whose broker can be cut off, with its first super admin."""
    running, proxy = cuttable
    async with (
        httpx.AsyncClient(base_url=running.url, timeout=15) as http,
    ):
        admin = await Administrator.sign_in(http, email=running.email, password=running.password)
        yield Site(running, proxy, http, admin)


async def test_two_gateways_count_together_also_when_one_is_killed_in_the_middle(site: Site) -> None:
    user = await site.a_user()
    second = site.platform.programs[SECOND_GATEWAY]
    body = {"email": user["email"], "password": GUESS}
    async with httpx.AsyncClient(timeout=15) as http:
        for url in (site.platform.url, second.url, second.url):
            assert (await http.post(f"{url}{ADMIN}/auth/login", json=body)).status_code == 401
        await second.kill()
        assert (await http.post(f"{site.platform.url}{ADMIN}/auth/login", json=body)).status_code == 401
        await second.start()
        assert (await http.post(f"{second.url}{ADMIN}/auth/login", json=body)).status_code == 401
    event = await site.event_of(user["id"], event_type="failed_login")
    assert (event["count"], event["details"]["measure"]) == (1, 5)


async def test_the_dry_run_finds_what_was_raised(site: Site) -> None:
    rule = await site.admin.get("/security/rules/failed_logins_of_account")
    kept = ("kind", "group_by", "threshold", "window_seconds", "cooldown_seconds", "severity")
    tried = {"rule": {name: rule[name] for name in kept}, "hours": 1}
    answer = await site.admin.call("POST", "/security/rules/dry-run", json=tried)
    assert answer.status_code == 200, answer.text
    events = (await site.admin.get("/security/events", rule=rule["name"]))["events"]
    members = ("subject", "created_at", "last_at", "count")
    assert answer.json()["events"] == [{name: one[name] for name in members} for one in events] != []


async def test_with_the_broker_gone_notifications_is_told_directly_and_once(site: Site) -> None:
    await site.proxy.refuse()
    try:
        event = await site.event_of(await site.reuse_a_refresh_token())
        await site.told_by(event, "direct")
        (alert,) = await site.alerts_about(event)
        assert (alert["severity"], alert["occurrence_count"]) == ("critical", 1)
    finally:
        await site.proxy.start()
    await site.bus_brought(event)
    (alert,) = await site.alerts_about(event)
    assert alert["occurrence_count"] == 1
    told = (await site.admin.get("/notifications", type="security_alert"))["notifications"]
    assert len([one for one in told if event["subject"] in one["title"]]) == 1


async def test_where_nobody_can_be_told_it_is_logged_and_counted_and_made_up_for(site: Site) -> None:
    notifications = site.platform.programs["notifications"]
    await site.proxy.refuse()
    await notifications.kill()
    try:
        event = await site.event_of(await site.reuse_a_refresh_token())
        logs = [site.platform.programs[name].log for name in ("gateway", SECOND_GATEWAY)]

        def said() -> bool:
            lines = [line for log in logs for line in log.read_text().splitlines() if event["id"] in line]
            return any("nobody told" in line and '"level":"critical"' in line for line in lines)

        await eventually(said, within_seconds=WITHIN_SECONDS)
        assert (await site.admin.get("/security/overview"))["untold"] == 1
        ports = [site.platform.programs[name].environment["REEVE_METRICS_PORT"] for name in ("gateway", SECOND_GATEWAY)]
        async with httpx.AsyncClient() as http:
            pages = [(await http.get(f"http://127.0.0.1:{port}/metrics")).text for port in ports]
        assert not all('reeve_security_alerts_total{way="failed"} 0.0' in page for page in pages)
    finally:
        await site.proxy.start()
        await notifications.start()
    await site.bus_brought(event)

    async def is_alert() -> bool:
        return bool(await site.alerts_about(event))

    await eventually(is_alert, within_seconds=WITHIN_SECONDS)
    (alert,) = await site.alerts_about(event)
    assert alert["occurrence_count"] == 1

    async def is_told() -> bool:
        return bool((await site.admin.get("/security/overview"))["untold"] == 0)

    await eventually(is_told, within_seconds=60)
