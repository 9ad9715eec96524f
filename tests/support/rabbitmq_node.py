"""A private RabbitMQ node from the installed server: own ports, own folder, any user, gone afterwards."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from libs.common.broker.connect import answers_amqp

DEBIAN = Path("/usr/lib/rabbitmq/bin")
"""Where the scripts lie that may run as any user; those in Debian's /usr/sbin insist on theirs."""
START_SECONDS = 60.0
STOP_SECONDS = 20.0
EPMD = "epmd"


def server_is_installed() -> bool:
    """Whether a RabbitMQ server is here with its Erlang."""
    return _script("rabbitmq-server") is not None and shutil.which(EPMD) is not None


def _script(name: str) -> str | None:
    return str(DEBIAN / name) if (DEBIAN / name).exists() else shutil.which(name)


def _free_ports() -> tuple[int, int, int]:
    """Three ports of 127.0.0.1 that are free now, outside the range that the command line tools take for themselves."""
    found: list[int] = []
    while len(found) < 3:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if not 35_600 <= port <= 35_700 and port not in found:
            found.append(port)
    return found[0], found[1], found[2]


@dataclass(slots=True)
class PrivateNode:
    """One node that a test starts, kills, starts again and removes. Its data outlives a kill, not `remove`."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="reeve-rabbitmq-", dir="/tmp")))
    name: str = field(default_factory=lambda: f"reeve_{secrets.token_hex(4)}@localhost")
    cookie: str = field(default_factory=lambda: secrets.token_hex(8))
    ports: tuple[int, int, int] = field(default_factory=_free_ports)
    _server: subprocess.Popen[bytes] | None = None
    _epmd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where its administrator `guest` reaches it."""
        return f"amqp://guest:guest@127.0.0.1:{self.ports[0]}/"

    @property
    def pids(self) -> list[int]:
        """The processes that must end with it."""
        return [process.pid for process in (self._server, self._epmd) if process is not None]

    async def start(self) -> None:
        """Start, and return when it answers AMQP; a failed start shows the end of its log."""
        self._prepare()
        port, epmd_port, _ = self.ports
        self._epmd = self._epmd or subprocess.Popen(
            [EPMD, "-port", str(epmd_port), "-address", "127.0.0.1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        log = (self.folder / "console.log").open("ab")
        with log:
            self._server = subprocess.Popen(
                [_script("rabbitmq-server") or ""], cwd=self.folder, env=self._environment(), user=_owner(), group=_group(),
                extra_groups=[] if os.geteuid() == 0 else None,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await answers_amqp("127.0.0.1", port):
                    if self._server.poll() is not None:
                        raise RuntimeError(f"rabbitmq-server ended: {self._end_of_log()}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise RuntimeError(f"rabbitmq-server did not answer: {self._end_of_log()}") from None

    async def kill(self) -> None:
        """SIGKILL, as a power cut."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """An orderly stop."""
        await self._end(signal.SIGTERM)

    async def remove(self) -> None:
        """End everything and delete the data."""
        await self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            await asyncio.to_thread(self._epmd.wait)
            self._epmd = None
        shutil.rmtree(self.folder, ignore_errors=True)

    async def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl`."""
        process = await asyncio.create_subprocess_exec(
            _script("rabbitmqctl") or "", "--erlang-cookie", self.cookie, *arguments, env=self._environment(),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(START_SECONDS):
            output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {output.decode(errors='replace')[-500:]}")
        return output.decode(errors="replace")

    async def _end(self, with_signal: signal.Signals) -> None:
        if self._server is None:
            return
        if self._server.poll() is None:
            os.killpg(self._server.pid, with_signal)
        try:
            await asyncio.to_thread(self._server.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            await asyncio.to_thread(self._server.wait)
        self._server = None

    def _prepare(self) -> None:
        self.folder.chmod(0o755)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.ports[0]}\nlog.console = true\nlog.console.level = warning\n"
        )
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "env.conf").write_text("")
        if owner := _owner():
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, owner)

    def _environment(self) -> dict[str, str]:
        port, epmd_port, distribution_port = self.ports
        # The cookie is an argument because Debian's scripts look for it below /var/lib/rabbitmq whatever
        # HOME says; `under systemd` makes the script become the server instead of watching it.
        arguments = f"-setcookie {self.cookie} -kernel inet_dist_use_interface {{127,0,0,1}}"
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "RUNNING_UNDER_SYSTEMD": "1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "env.conf"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": arguments,
        }

    def _end_of_log(self) -> str:
        return (self.folder / "console.log").read_text(errors="replace")[-800:]


def _owner() -> str | None:
    """Root starts it as the package's own user; everybody else as themselves."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "rabbitmq" if "rabbitmq" in names else "nobody"


def _group() -> int | None:
    owner = _owner()
    return pwd.getpwnam(owner).pw_gid if owner else None
