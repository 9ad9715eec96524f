"""The witness as a program of its own: told what is wrong in a line, alone in its folder, and true to its word when it is killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from libs.common.errors import ConfigError
from services.audit.log.cosignatures import WitnessKey, find_cosignature
from services.audit.log.notes import parted
from services.audit.witness import app
from services.audit.witness.config import Config
from services.audit.witness.records import name_of
from services.audit.witness.requests import MOST_REQUEST_BYTES
from tests.support.eventually import eventually
from tests.support.processes import free_port
from tests.unit.audit.witness.test_judging import FORK, KEY, asked, body

ROOT = Path(__file__).parents[3]


def environment(folder: Path, **more: str) -> Mapping[str, str]:
    return {
        **os.environ, "REEVE_WITNESS_NAME": "witness.test/w1", "REEVE_WITNESS_DIR": str(folder),
        "REEVE_WITNESS_LOGS": f'["{KEY.verifier.text}"]', "REEVE_METRICS_PORT": str(free_port()), **more,
    }  # fmt: skip


async def said(command: str, variables: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command to its end: exit code, and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.audit.witness", command, cwd=ROOT, env=variables,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def running(folder: Path, **more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """The program, and a client of it."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.audit.witness", "serve", cwd=ROOT,
        env=environment(folder, REEVE_PORT=str(port), **more), stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=False) as http:

        async def is_up() -> bool:
            try:
                return (await http.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        try:
            await eventually(is_up, within_seconds=40)
            yield process, http
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(30):
                    assert await process.wait() == 0


async def test_what_was_cosigned_outlives_a_kill_between_the_disk_and_the_answer(tmp_path: Path) -> None:
    """The log never saw the cosignature, but the witness stands by it: another head of that size is not cosigned."""
    async with running(tmp_path, REEVE_CRASH_AT="witness.after_fsync:2") as (process, http):
        first = await http.post("/add-checkpoint", content=body(asked(0, 5)))
        assert (first.status_code, first.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        with pytest.raises(httpx.TransportError):
            await http.post("/add-checkpoint", content=body(asked(5, 10)))
        assert await process.wait() == -signal.SIGKILL
    async with running(tmp_path) as (_, http):
        (code, key, _), (refused, _, why) = await asyncio.gather(
            said("show-key", environment(tmp_path)), said("serve", environment(tmp_path, REEVE_PORT=str(free_port())))
        )
        assert (code, refused) == (0, 2)
        assert why == f"reeve: REEVE_WITNESS_DIR: another witness works in {tmp_path}\n"
        behind = await http.post("/add-checkpoint", content=body(asked(5, 10, tree=FORK)))
        assert (behind.status_code, behind.text) == (409, "10\n")
        assert behind.headers["content-type"] == "text/x.tlog.size"
        fork = await http.post("/add-checkpoint", content=body(asked(10, 10, tree=FORK)))
        assert fork.status_code == 422
        again = await http.post("/add-checkpoint", content=body(asked(10, 10)))
        assert again.status_code == 200
        cosigned = asked(10, 10).note + again.text
        assert find_cosignature(*parted(cosigned), WitnessKey.parse(key))
        shown = await http.get(f"/{name_of(KEY.name)}/checkpoint")
        assert (shown.status_code, shown.text) == (200, cosigned)
        assert (await http.get("/" + "0" * 64 + "/checkpoint")).status_code == 404
        for sent, status in ((b"", 400), (body(asked(10, 20)) + b"\0", 400)):
            answer = await http.post("/add-checkpoint", content=sent)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
        assert (await http.get("/add-checkpoint")).status_code == 405


async def test_what_is_asked_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    service = app.start(Config.load())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=service.app), base_url="http://w") as http:
        for count, status in ((MOST_REQUEST_BYTES, 400), (MOST_REQUEST_BYTES + 1, 413)):
            answer = await http.post("/add-checkpoint", content=b"x" * count)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
            assert len(answer.text.splitlines()) == 1
    await service.close()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("REEVE_WITNESS_NAME", "", "must be set"),
        ("REEVE_WITNESS_NAME", "with a space", "without spaces"),
        ("REEVE_WITNESS_LOGS", "", "JSON list"),
        ("REEVE_WITNESS_LOGS", "no json", "valid JSON"),
        ("REEVE_WITNESS_LOGS", '["log.example/audit"]', "must be of the kind Ed25519"),
        ("REEVE_WITNESS_LOGS", f'["{KEY.verifier.text}", "{KEY.verifier.text}"]', "cannot be told apart"),
    ],
)
async def test_what_is_wrong_is_one_line_and_exit_code_2(
    tmp_path: Path, variable: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked in this process, for a program takes a second to start; `run_process` makes the exit code of this error."""
    for name, given in environment(tmp_path).items():
        monkeypatch.setenv(name, given)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=reason) as failed:
        app.start(Config.load())
    assert str(failed.value).startswith(f"{variable}: ")
    assert len(str(failed.value).splitlines()) == 1
