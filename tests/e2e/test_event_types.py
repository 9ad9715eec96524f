"""Schemas that platforms register, on a deployed platform: every gateway and the bus hold to them, and nothing is lost."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import orjson
import pytest

from libs.common.ids import new_id
from tests.demo.administrator import Administrator
from tests.e2e.steps import client_headers
from tests.support.eventually import eventually
from tests.support.platforms import SECOND_GATEWAY
from tests.support.processes import Platform
from tests.support.wire import wire_of

STRICT = {"type": "object", "required": ["order_id"]}
STRUCTURED = "application/cloudevents+json"
WITHIN_SECONDS = 1.0


@pytest.fixture
async def elsewhere(platform: Platform, http: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the second gateway."""
    async with httpx.AsyncClient(base_url=platform.programs[SECOND_GATEWAY].url, timeout=15) as client:
        yield client


@pytest.fixture
async def shop(http: httpx.AsyncClient) -> dict[str, str]:
    """The headers of the shop, which publishes over HTTP."""
    return {**await client_headers(http), "content-type": STRUCTURED}


def an_event(kind: str, **data: Any) -> bytes:
    made = {"specversion": "1.0", "id": new_id(), "source": "/platform/shop", "type": kind}
    return orjson.dumps({**made, "time": datetime.now(UTC), "data": data})


async def register(admin: Administrator, kind: str, schema: dict[str, Any]) -> None:
    body = {"source": "/platform/shop", "json_schema": schema, "example": {"order_id": "1"}}
    answer = await admin.call("PUT", f"/events/catalog/{kind}", json=body)
    assert answer.status_code in (200, 201), answer.text


async def test_every_gateway_holds_to_a_change_within_a_second(
    http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, admin: Administrator, shop: dict[str, str]
) -> None:
    kind = f"com.shop.order_{new_id()[-12:]}.v1"

    async def answered(client: httpx.AsyncClient, status: int) -> bool:
        return (await client.post("/api/v1/events", content=an_event(kind), headers=shop)).status_code == status

    assert await answered(http, 202)
    assert await answered(elsewhere, 202)
    for schema, status in ((STRICT, 422), ({}, 202)):
        await register(admin, kind, schema)
        assert await answered(http, status), "the gateway that took the change holds to it at once"
        await eventually(partial(answered, elsewhere, status), within_seconds=WITHIN_SECONDS)
    await register(admin, kind, STRICT)
    assert (await admin.call("DELETE", f"/events/catalog/{kind}")).status_code == 204
    await eventually(lambda: answered(elsewhere, 202), within_seconds=WITHIN_SECONDS)


async def test_what_the_bus_brings_against_its_schema_is_quarantined_and_replayed(
    platform: Platform, admin: Administrator
) -> None:
    kind = f"com.shop.order_{new_id()[-12:]}.v1"
    await register(admin, kind, STRICT)

    async def is_there() -> bool:
        return bool((await admin.get("/audit/logs", action="register_event_type", target_id=kind))["total"])

    await eventually(is_there)
    async with wire_of(platform) as wire:
        for event in (an_event(kind, order_id="4711"), an_event(kind, price=3)):
            await wire.send(event, routing_key=kind, content_type=STRUCTURED)

    async def quarantined() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await admin.get("/audit/quarantine", type=kind))["quarantine"]
        return found

    async def entries() -> int:
        return int((await admin.get("/audit/logs", action=kind))["total"])

    await eventually(quarantined)
    (kept,) = await quarantined()
    assert (kept["reason"], kept["message"]) == (
        "invalid_event", f"the value breaks required: order_id is missing (version 1 of {kind})",
    )  # fmt: skip
    assert await entries() == 1
    refused = await admin.call("POST", f"/audit/quarantine/{kept['id']}/replay")
    assert (refused.status_code, refused.json()["detail"]["error"]) == (409, "does_not_fit")
    await register(admin, kind, {"type": "object"})
    # At once: the replay waits for the change, which is on its way.
    replayed = await admin.call("POST", f"/audit/quarantine/{kept['id']}/replay")
    assert (replayed.status_code, replayed.json()["state"]) == (200, "replayed"), replayed.text
    assert await entries() == 2
