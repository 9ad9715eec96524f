"""Builds the commands about sinks, a secret sealed to the audit service; and waits for a test to end."""

import asyncio
from typing import Any

import orjson

from libs.common.events.sinks import ChangeSink, CreateSink, SinkDefinition
from libs.common.identity import Caller, Origin
from libs.common.sealing import seal
from services.gateway.features.sinks.schemas import SinkRequest, secret_of
from services.gateway.upstream.client import Upstream

PATH = "/internal/audit/sinks"
TEST_SECONDS = 20.0
"""How long a test is waited for: a little longer than an attempt may take."""
LOOK_SECONDS = 0.2


class SinkCommands:
    """Commands in the name of a request's origin; `public_key` is the audit service's."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def create(self, body: SinkRequest, *, origin: Origin) -> CreateSink:
        """A new sink."""
        return CreateSink(
            definition=_definition(body), sealed_secret=self._sealed(body), starts=body.starts or "now", origin=origin
        )

    def change(self, sink_id: str, body: SinkRequest, *, version: int | None, origin: Origin) -> ChangeSink:
        """Another definition."""
        return ChangeSink(
            sink_id=sink_id, definition=_definition(body), sealed_secret=self._sealed(body), starts=body.starts,
            expected_version=version, origin=origin,
        )  # fmt: skip

    def _sealed(self, body: SinkRequest) -> str | None:
        return None if body.secret is None else seal(self._public_key, secret_of(body.target, body.secret))


async def ended_test(
    upstream: Upstream, caller: Caller, sink_id: str, test_id: str, *, seconds: float = TEST_SECONDS
) -> dict[str, Any] | None:
    """How a test ended; None when that cannot be said in time, because another came after it, or the sink is gone."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = await upstream.read("audit", f"{PATH}/{sink_id}", "", caller=caller, permission="roles:write")
                test: dict[str, Any] = orjson.loads(found.body).get("last_test") or {} if found.status == 200 else {}
                if test.get("id") != test_id:
                    return None
                if test["state"] != "waiting":
                    return test
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        return None


def _definition(body: SinkRequest) -> SinkDefinition:
    return SinkDefinition(
        name=body.name, target=body.target, format=body.format, filters=body.filters, is_enabled=body.is_enabled
    )
