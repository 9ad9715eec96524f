"""kill -9 of every process at every step of the path, under load: nothing lost, nothing twice, nothing out of order."""

import random
from pathlib import Path
from time import monotonic

import pytest

from tests.faults.driver import driving, verdict_on
from tests.support.processes import Platform

KILLED = -9
REACHED_SECONDS = 60.0
RELAY = ("relay.after_number", "relay.before_publish", "relay.after_publish", "relay.after_confirm")
CONSUMER = ("cons.before_effect", "cons.before_commit", "cons.before_ack")
POINTS = {
    "gateway": ("gw.before_commit", "gw.after_commit", *RELAY, *CONSUMER),
    "settings": (*RELAY, *CONSUMER, "cons.before_reply"),
    "notifications": (*RELAY, *CONSUMER, "cons.before_reply"),
    "audit": CONSUMER,
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("service", POINTS)
async def test_nothing_is_lost_or_doubled_wherever_a_process_is_killed(
    platform: Platform, ledger_path: Path, repeats: int, service: str
) -> None:
    """Each life is started with the point where it will end; an end by anything else, or none, fails the test."""
    rng = random.Random(service)
    program = platform.programs[service]
    started = monotonic()
    async with driving(platform, ledger_path) as driver:
        await driver.progress()
        await program.kill()
        for _ in range(repeats):
            for point in POINTS[service]:
                nth = rng.randint(1, 6)
                driver.ledger.fault(f"{service}: {point}")
                await program.launch(REEVE_CRASH_AT=f"{point}:{nth}")
                code = await program.until_dead(within_seconds=REACHED_SECONDS)
                assert code == KILLED, f"{point} was not reached: {program.last_words()}"
        await program.start()
        await driver.progress()
    verdict = await verdict_on(driver)
    print(f"{service}: {verdict}; {monotonic() - started:.1f} s")
    assert verdict.is_clean, str(verdict)
    assert sum(verdict.faults.values()) == repeats * len(POINTS[service])
