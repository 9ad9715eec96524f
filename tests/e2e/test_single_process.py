"""`python -m services run`: the same path in one process, without a broker and with one, on the same data."""

import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic

import httpx
import pytest

from libs.common.ids import new_id
from tests.demo.administrator import Administrator
from tests.e2e.steps import a_setting, client_headers, entries, import_failed, listening, notifications_of, put
from tests.support.eventually import eventually
from tests.support.platforms import EMAIL, PASSWORD, single_process
from tests.support.processes import Command, Program
from tests.support.rabbitmq import remove_namespace
from tests.support.stem import Stem

STOP_SECONDS = 10.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory that the account which root lends its Postgres may pass."""
    with tempfile.TemporaryDirectory(prefix="reeve-test-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


async def test_the_same_path_on_either_transport_and_the_data_is_found_again(folder: Path, rabbitmq: str) -> None:
    namespace = f"test-{new_id()[-12:]}"
    key = ""
    for broker in ({"REEVE_AMQP_URL": "embedded"}, {"REEVE_AMQP_URL": rabbitmq, "REEVE_AMQP_NAMESPACE": namespace}):
        program = single_process(folder, launcher=Command(), **broker)
        try:
            await program.start()
            async with httpx.AsyncClient(base_url=program.url, timeout=15) as http:
                admin = await Administrator.sign_in(http, email=EMAIL, password=PASSWORD)
                if key:
                    assert (await admin.get(f"/settings/{key}"))["value"] == 2
                key = await _walk(admin, http)
            started = monotonic()
            assert await program.stop(signal.SIGINT) == 0, program.last_words()
            assert monotonic() - started < STOP_SECONDS
        finally:
            await program.kill()
    await remove_namespace(rabbitmq, namespace)


async def test_the_signing_key_of_one_process_can_be_changed(stem: Stem, folder: Path) -> None:
    program = single_process(folder, launcher=stem)
    change = Program(
        name="rotate", module="services", arguments=["rotate-keys", "--revoke"], environment=program.environment,
        port=program.port, log=folder / "rotate.log", launcher=stem,
    )  # fmt: skip
    try:
        await program.start()
        async with httpx.AsyncClient(base_url=program.url, timeout=15) as http:
            body = {"email": EMAIL, "password": PASSWORD}
            tokens = (await http.post("/api/v1/admin/auth/login", json=body)).json()
        await change.launch()
        assert await change.until_dead(within_seconds=30) == 2, change.last_words()
        assert "another process runs Postgres" in change.last_words()
        assert await program.stop(signal.SIGINT) == 0, program.last_words()
        await change.launch()
        assert await change.until_dead(within_seconds=60) == 0, change.last_words()
        await program.start()
        async with httpx.AsyncClient(base_url=program.url, timeout=15) as http:
            (key,) = (await http.get("/.well-known/jwks.json")).json()["keys"]
            assert f"{key['kid']} signs from" in change.last_words()
            old = {"authorization": f"Bearer {tokens['access_token']}"}
            assert (await http.get("/api/v1/admin/auth/me", headers=old)).status_code == 401
            body = {"refresh_token": tokens["refresh_token"]}
            assert (await http.post("/api/v1/admin/auth/refresh", json=body)).status_code == 200
    finally:
        await change.kill()
        await program.kill()


async def test_the_dead_letters_of_one_process_are_at_hand_while_it_does_not_run(stem: Stem, folder: Path) -> None:
    program = single_process(folder, launcher=stem)
    for arguments, told in (
        (["notifications", "list"], "no dead letters"),
        (["gateway", "redeliver"], "nothing to redeliver"),
    ):
        command = Program(
            name="dead-letters", module="services", arguments=["dead-letters", *arguments],
            environment=program.environment, port=program.port, log=folder / "letters.log", launcher=stem,
        )  # fmt: skip
        try:
            await command.launch()
            assert await command.until_dead(within_seconds=60) == 0, command.last_words()
            assert told in command.last_words()
        finally:
            await command.kill()


async def _walk(admin: Administrator, http: httpx.AsyncClient) -> str:
    """A change and an event, each stored, recorded and announced."""
    key, mark = await a_setting(admin), new_id()
    async with listening(http, admin.headers, "settings,notifications") as live:
        answer = await put(admin, http, key, 2)
        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
        sent = await http.post("/api/v1/events", json=import_failed(mark), headers=await client_headers(http))
        assert sent.status_code == 202
        await live.hears(lambda one: one.data["type"] == "reeve.setting.changed.v1")
        await live.hears(lambda one: one.data["type"] == "reeve.notification.created.v1")
    await entries(admin, 1, action="update_setting", target_id=key)
    await entries(admin, 1, action="platform.import.failed.v1", target_id=mark)
    await eventually(lambda: notifications_of(admin, mark))
    return key


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"REEVE_PORT": "eighty"}, "REEVE_PORT"),
        ({"REEVE_AMQP_URL": "http://broker"}, "REEVE_AMQP_URL"),
        ({"REEVE_DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none"}, "REEVE_DATABASE_URL"),
    ],
)
async def test_a_wrong_value_is_one_line_and_code_2(
    stem: Stem, folder: Path, wrong: Mapping[str, str], told: str
) -> None:
    program = single_process(folder, launcher=stem)
    await program.launch(**wrong)
    await _ends_with_one_line(program, told)
    assert "secret" not in program.last_words()


async def test_a_taken_port_is_one_line_and_code_2(stem: Stem, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for variable in ("REEVE_PORT", "REEVE_METRICS_PORT"):
            program = single_process(folder, launcher=stem)
            program.log = folder / f"{variable}.log"
            await program.launch(**{variable: port})
            await _ends_with_one_line(program, variable)
            assert port in program.last_words()


async def _ends_with_one_line(program: Program, told: str) -> None:
    assert await program.until_dead(within_seconds=30) == 2, program.last_words()
    lines = program.last_words().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"reeve: {told}: ")
