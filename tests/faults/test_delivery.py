"""What a broker may do to messages: bring them twice, late, in another order; and what others may send."""

import random
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from libs.common.broker.topology import AUDIT_EVENTS, NOTIFICATIONS_EVENTS
from libs.common.ids import new_id
from tests.faults.driver import driving, verdict_on
from tests.faults.observer import observing
from tests.support.eventually import eventually
from tests.support.processes import Platform
from tests.support.wire import wire_of

pytestmark = pytest.mark.timeout(1800)

MOST_AGAIN = 200
STRUCTURED = "application/cloudevents+json"


async def test_everything_delivered_again_in_another_order_changes_nothing(
    platform: Platform, ledger_path: Path, repeats: int
) -> None:
    """Events and commands alike; new ones pass between the old ones."""
    rng = random.Random(repeats)
    async with wire_of(platform) as wire, driving(platform, ledger_path) as driver:
        for _ in range(repeats):
            await driver.progress(40)
            known = list(wire.recorded.values())
            again = rng.sample(known, min(len(known), MOST_AGAIN)) * 2
            rng.shuffle(again)
            driver.ledger.fault(f"{len(again)} messages again")
            await wire.publish(again)
        await driver.progress(4, within_seconds=60)
    verdict = await verdict_on(driver)
    print(f"delivered again: {verdict}")
    assert {one.exchange for one in wire.recorded.values()} == {"reeve.events", "reeve.commands"}
    assert verdict.is_clean, str(verdict)


async def test_a_backlog_in_any_order_and_twice_takes_effect_once(
    platform: Platform, ledger_path: Path, repeats: int
) -> None:
    rng = random.Random(repeats)
    consumers = {"audit": AUDIT_EVENTS, "notifications": NOTIFICATIONS_EVENTS}
    async with wire_of(platform) as wire, observing(platform.admin_database) as observer:
        async with driving(platform, ledger_path) as driver:
            for name in consumers:
                await platform.programs[name].kill()
            driver.ledger.fault("the backlog of two consumers doubled and shuffled")
            await driver.progress(10 * repeats)

        async def sent() -> bool:
            unfinished = await observer.unfinished()
            return "gateway: unsent" not in unfinished and "settings: unsent" not in unfinished

        await eventually(sent, within_seconds=20)
        backlog = [one for one in wire.recorded.values() if one.exchange == "reeve.events"] * 2
        for queue in consumers.values():
            await wire.purge(queue)
            rng.shuffle(backlog)
            await wire.put(queue, backlog)
        await platform.revive()
    verdict = await verdict_on(driver)
    print(f"{len(backlog)} messages in disorder: {verdict}")
    # In the audit an entry stands where its event came, so a shuffled backlog is stored as it was shuffled.
    assert replace(verdict, misordered=[]).is_clean, str(verdict)
    assert verdict.ok > 0


async def test_poison_is_parked_once_with_its_reason_and_disturbs_nobody(platform: Platform, ledger_path: Path) -> None:
    mark = new_id()

    def event(**given: object) -> bytes:
        whole = {"specversion": "1.0", "id": new_id(), "source": "/platform/shop", "type": "com.shop.sold.v1", **given}
        return orjson.dumps({name: value for name, value in whole.items() if value is not None})

    poison = {
        "malformed": b"{" + mark.encode(),
        "malformed: ": event(specversion=None, subject=mark),
        "unknown_event_type": event(type="platform.unheard.of.v1", subject=mark),
        "source_not_allowed": event(source="/platform/nobody", subject=mark),
        "source_not_allowed: only": event(type="reeve.setting.changed.v1", source="/reeve/settings", subject=mark),
        "invalid_event": event(type="platform.import.completed.v1", data={"errors_count": "many"}, subject=mark),
        "too_large": event(data={"text": "x" * 300_000}, subject=mark),
        "malformed:": b"[" * 100_000 + mark.encode(),
    }
    async with wire_of(platform) as wire, driving(platform, ledger_path) as driver:
        await driver.progress()
        for reason, body in poison.items():
            driver.ledger.fault(reason)
            await wire.send(body, routing_key="com.shop.sold.v1", content_type=STRUCTURED)
            await driver.progress(4)
    verdict = await verdict_on(driver)
    print(f"poison: {verdict}")
    assert verdict.is_clean, str(verdict)
    async with observing(platform.admin_database) as observer:
        for service in ("audit", "notifications"):
            found = await observer.dead_letters(service, containing=mark)
            assert len(found) == len(poison), found
            for reason, told in zip(poison, found, strict=True):
                assert told.startswith(reason.rstrip(" :")), (reason, told)
        assert await observer.dead_letters("settings", containing=mark) == []
