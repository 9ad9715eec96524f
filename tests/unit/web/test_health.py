"""The probes."""

import asyncio

from libs.common.errors import Unavailable
from libs.common.web import health
from libs.common.web.app import create_app
from tests.unit.web.browser import Answer, ask


async def well() -> None:
    """A check that passes."""


async def failing() -> None:
    """A check that fails, with something in its message that nobody outside may read."""
    raise Unavailable("postgresql://reeve:hunter2@db is gone")


async def hanging() -> None:
    """A check that never answers."""
    await asyncio.Event().wait()


async def ready(**checks: health.Check) -> Answer:
    """What `/readyz` answers with these checks."""
    return await ask(create_app(service="t", title="T", version="1", checks=checks), "GET", "/readyz")


async def test_a_process_that_answers_is_alive_whatever_its_checks_say() -> None:
    app = create_app(service="t", title="T", version="1", checks={"database": failing})
    answer = await ask(app, "GET", "/healthz")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_ready_when_every_check_passes() -> None:
    answer = await ready(database=well, broker=well)
    assert (answer.status, answer.json) == (200, {"status": "ok", "checks": {"database": "ok", "broker": "ok"}})


async def test_not_ready_names_the_failing_check_and_nothing_of_why() -> None:
    answer = await ready(database=failing, broker=well)
    assert (answer.status, answer.error) == (503, "not_ready")
    assert answer.json["detail"]["message"] == "not ready: database"
    assert answer.json["detail"]["checks"] == {"database": "failed", "broker": "ok"}
    assert b"hunter2" not in answer.body


async def test_a_hanging_check_is_given_up_and_named() -> None:
    states = await health.run_checks({"database": hanging, "broker": well}, seconds=0.01)
    assert states == {"database": "timed out", "broker": "ok"}


async def test_the_probes_need_no_more_than_two_seconds() -> None:
    assert health.CHECK_SECONDS == 2.0
