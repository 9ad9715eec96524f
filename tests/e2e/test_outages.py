"""A service that is away holds nobody up, and nothing is missing when it is back."""

import asyncio
import signal
from dataclasses import replace

import httpx

from tests.demo.administrator import ADMIN, Administrator
from tests.e2e.steps import a_setting, entries, put
from tests.support.eventually import eventually
from tests.support.processes import Command, Platform

RETURN_SECONDS = 20.0


async def test_a_change_waits_for_the_settings_service_and_is_applied_once(
    platform: Platform, admin: Administrator, http: httpx.AsyncClient
) -> None:
    key = await a_setting(admin)
    settings = platform.programs["settings"]
    assert await settings.stop() == 0
    answer = await put(admin, http, key, 5)
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    read = await http.get(f"{ADMIN}/settings/{key}", headers=admin.headers)
    assert (read.status_code, "retry-after" in read.headers) == (503, True)
    assert (await http.get(f"{ADMIN}/auth/me", headers=admin.headers)).status_code == 200
    await settings.start()

    async def completed() -> bool:
        operation = (await http.get(answer.headers["location"], headers=admin.headers)).json()
        return bool(operation["status"] == "completed")

    await eventually(completed, within_seconds=RETURN_SECONDS)
    history = (await admin.get(f"/settings/{key}/history"))["history"]
    assert [one["value"] for one in history] == [5, 1]
    await entries(admin, 1, action="update_setting", target_id=key)


async def test_the_platform_works_without_the_audit_service_and_nothing_is_missing_afterwards(
    platform: Platform, admin: Administrator, http: httpx.AsyncClient
) -> None:
    key = await a_setting(admin)
    audit = platform.programs["audit"]
    await audit.kill()
    for number in range(2, 12):
        assert (await put(admin, http, key, number)).status_code == 200
        assert (await http.get(f"{ADMIN}/settings/{key}", headers=admin.headers)).status_code == 200
    unread = await http.get(f"{ADMIN}/audit/logs", headers=admin.headers)
    assert (unread.status_code, unread.json()["detail"]["error"]) == (503, "upstream_unavailable")
    await audit.start()
    changes = await entries(admin, 10, action="update_setting", target_id=key)
    assert [one["changes"]["value"]["new"] for one in reversed(changes)] == list(range(2, 12))
    await entries(admin, 10, action="view_setting", target_id=key)


async def test_every_process_starts_by_its_command_and_ends_when_asked_to(
    platform: Platform, admin: Administrator, http: httpx.AsyncClient
) -> None:
    key = await a_setting(admin)
    started = {name: replace(program, launcher=Command()) for name, program in platform.programs.items()}
    for program in platform.programs.values():
        assert await program.stop(signal.SIGTERM) == 0
    try:
        await asyncio.gather(*(program.start() for program in started.values()))
        assert (await put(admin, http, key, 2)).status_code == 200
        assert {name: await program.stop(signal.SIGTERM) for name, program in started.items()} == dict.fromkeys(
            started, 0
        )
    finally:
        await asyncio.gather(*(program.kill() for program in started.values()))
