"""The embedded Postgres: a real server of this process's own, from a wheel, on a loopback port that is free.

The data outlives the process. What an earlier process left running after a kill -9 is shut down at the next start;
two processes never share one data directory.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import asyncpg

from libs.common.database.postgres_home import ELSEWHERE, ENVIRONMENT, Home, run_as, settle
from libs.common.errors import ConfigError
from libs.common.keys import load_or_create_secret

STOP_SECONDS = 15.0
START_SECONDS = 60.0
"""Long enough to recover after a crash; a start takes a fraction of a second."""
TRIES = 10
MOST_CONNECTIONS = 100
"""Four pools of ten, their dedicated connections, and room for people who look inside."""


class EmbeddedPostgres:
    """One server below `data_dir`. `start` and `stop` may be called once each, in that order."""

    def __init__(self, data_dir: Path, *, elsewhere: Path = ELSEWHERE) -> None:
        self._data_dir = data_dir
        self._elsewhere = elsewhere
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> str:
        """Start the server, making its cluster at the first time; returns the URL of its administrator.

        Raises `ConfigError` with one line that says what is in the way.
        """
        home = await asyncio.to_thread(settle, self._data_dir, elsewhere=self._elsewhere)
        self._lock = _lock(home)
        try:
            return await self._start(home)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Shut the server down and wait for it: what was committed is on disk, and nothing needs recovery."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(_shut_down, process.pid, process)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    async def _start(self, home: Home) -> str:
        await asyncio.to_thread(_clear_away, home)
        password = load_or_create_secret(home.directory / "password", 24).hex()
        if not home.is_initialised:
            await asyncio.to_thread(_initialise, home, password)
        for _ in range(TRIES):
            port = _free_port()
            url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres?sslmode=disable"
            self._process = _launch(home, port)
            if await _answers(url, self._process):
                return url
            if self._process.poll() is None:
                break
            # Another program took the port, or processes of a killed server are still going away.
            await asyncio.sleep(0.3)
        raise ConfigError(f"the embedded Postgres does not start: {_last_line(home.log.read_text(errors='replace'))}")


def _lock(home: Home) -> IO[str]:
    """Hold the directory for as long as this process lives; the kernel lets go when it dies, however it dies."""
    lock = (home.directory / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ConfigError(
            f"another process runs Postgres in {home.directory}: stop it, or set REEVE_DATA_DIR"
        ) from None
    return lock


def _clear_away(home: Home) -> None:
    """End a server that an earlier process left behind; have the note of a dead one not stand in the way."""
    note = home.data / "postmaster.pid"
    if not note.exists():
        return
    first, _, rest = note.read_text().partition("\n")
    pid = int(first) if first.isdigit() else 0
    command = _command_line(pid)
    if command is None:
        return
    if str(home.data) in command:
        _shut_down(pid, None)
    else:
        # Some other program has the process id now, as is usual after a reboot. Our own is one that Postgres does not
        # take for a rival; the rest of the note must stay, it guards against processes that a killed server left.
        note.write_text(f"{os.getpid()}\n{rest}")


def _command_line(pid: int) -> str | None:
    """What runs under this process id; None when nothing does, or nothing that we may look at."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return None
    return run_as(None, ["/bin/ps", "-p", str(pid), "-o", "command="]).stdout.strip() or None


def _initialise(home: Home, password: str) -> None:
    """Make the cluster aside and rename it: a half-made one is never taken for a whole one."""
    aside = home.directory / "data.new"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    home.give(aside)
    with tempfile.NamedTemporaryFile("w", dir=home.directory, prefix="password.") as file:
        file.write(password)
        file.flush()
        home.give(Path(file.name))
        made = run_as(
            home.account,
            home.command(
                "initdb",
                f"--pgdata={aside}",
                "--username=postgres",
                f"--pwfile={file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                *home.locale,
            ),
        )
    if made.returncode != 0:
        raise ConfigError(f"the embedded Postgres cannot be made in {aside}: {_last_line(made.stderr)}")
    aside.rename(home.data)


def _launch(home: Home, port: int) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(MOST_CONNECTIONS),
        "log_min_messages": "log",
        "log_checkpoints": "off",
        "max_wal_size": "512MB",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    account = home.account
    with home.log.open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - the wheel's program
            home.command("postgres", "-D", str(home.data), *options),
            cwd="/",
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            # Ctrl-C is for us: we stop the server when nobody needs it any more.
            start_new_session=True,
        )


async def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server takes connections; False when it ended, or does not come to an end with its recovery."""
    deadline = monotonic() + START_SECONDS
    while process.poll() is None and monotonic() < deadline:
        try:
            connection = await asyncpg.connect(url, timeout=5)
        except (ConnectionError, TimeoutError, asyncpg.CannotConnectNowError):
            await asyncio.sleep(0.01)
        except asyncpg.InvalidPasswordError:
            raise ConfigError("the embedded Postgres does not know the password in its directory") from None
        else:
            await connection.close()
            return True
    return False


def _shut_down(pid: int, process: subprocess.Popen[bytes] | None) -> None:
    """Ask for a fast shutdown, and insist when it is not done in time."""
    for number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            if process.poll() is not None if process is not None else _command_line(pid) in {None, ""}:
                return
            sleep(0.01)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it says nothing"
