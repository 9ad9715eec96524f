"""The import contracts hold, and each names what breaks it on purpose."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINT = Path(sys.executable).with_name("lint-imports")

PLANTED = [
    pytest.param("services/audit/utils.py", "", "The rooms of the audit service", id="stray room of a service"),
    pytest.param("services/gateway/helpers.py", "", "The rooms of the gateway", id="stray room of the gateway"),
    pytest.param("services/gateway/features/users/utils.py", "", "The rooms of a feature", id="stray room of a feature"),
    pytest.param(
        "services/gateway/features/common.py", "", "The gateway's features, and which of them build on others",
        id="stray file beside the features",
    ),
    pytest.param("libs/common/utils.py", "", "The layers of the shared library", id="stray file of the library"),
    pytest.param("services/billing/__init__.py", "", "No service knows another", id="a service nobody listed"),
    pytest.param(
        "libs/common/ids.py", "import services.audit.models\n", "The shared library knows no service",
        id="library to service",
    ),
    pytest.param(
        "services/audit/store/entries.py", "import services.settings.models.kinds\n", "No service knows another",
        id="service to service",
    ),
    pytest.param(
        "libs/common/broker/routing.py", "import libs.common.database.engine\n", "The layers of the shared library",
        id="broker to database",
    ),
    pytest.param(
        "services/settings/store/history.py", "import services.settings.routes\n",
        "The rooms of the settings service", id="store to routes",
    ),
    pytest.param(
        "services/notifications/rules.py", "import services.notifications.config\n",
        "The rooms of the notifications service", id="configuration read below the app",
    ),
    pytest.param(
        "services/gateway/access/tokens.py", "import services.gateway.access.guard\n", "The gateway's access control",
        id="tokens to guard",
    ),
    pytest.param(
        "services/gateway/access/issuers/keys.py", "import services.gateway.access.issuers.issuer\n",
        "The gateway's trusted issuers", id="keys to issuer",
    ),
    pytest.param(
        "services/gateway/stream/ring.py", "import services.gateway.stream.hub\n", "The gateway's live updates",
        id="ring to hub",
    ),
    pytest.param(
        "services/gateway/upstream/client.py", "import services.gateway.upstream.http\n",
        "The gateway's reads of the services behind it", id="client to carrier",
    ),
    pytest.param(
        "services/settings/commands/writes.py", "import fastapi\n",
        "HTTP is known to web, apps, routes and the doors before them", id="HTTP in a decision",
    ),
    pytest.param(
        "services/audit/routes/entries.py", "import aio_pika\n", "RabbitMQ is known to the broker's room alone",
        id="RabbitMQ in a route",
    ),
    pytest.param(
        "services/gateway/features/users/routes.py", "import sqlalchemy\n",
        "SQL is known to stores, tables, migrations and the database's room", id="SQL in a route",
    ),
    pytest.param(
        "services/audit/verifier/tree.py", "import libs.common.errors\n", "The offline verifier stands alone",
        id="verifier to library",
    ),
    pytest.param(
        "services/audit/verifier/tree.py", "import services.audit.models.entries\n", "The rooms of the audit service",
        id="verifier to what it judges",
    ),
    pytest.param(
        "services/audit/witness/judging.py", "import services.audit.store.tree\n",
        "The witness knows the formats of the log alone", id="witness to what it watches",
    ),
    pytest.param(
        "services/audit/witness/requests.py", "import services.audit.witness.routes\n", "The rooms of the witness",
        id="request of a witness to its routes",
    ),
    pytest.param(
        "services/audit/handlers.py", "import services.audit.verifier.tree\n", "Nothing is built on the offline verifier",
        id="what is judged to its verifier",
    ),
    pytest.param(
        "services/audit/verifier/notes.py", "import services.audit.verifier.cli\n", "The layers of the offline verifier",
        id="notes to command line",
    ),
]  # fmt: skip


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(LINT), "--no-cache", "--no-logo"],
        cwd=folder, env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What is said of each contract once the sources have every planted breach."""
    folder = tmp_path_factory.mktemp("broken")
    for name in ("libs", "services"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, line, *_ in (one.values for one in PLANTED):
        file = folder / str(path)
        file.parent.mkdir(exist_ok=True)
        before = file.read_text(encoding="utf-8") if file.exists() else '"""Planted."""\n'
        file.write_text(f"{before}\n{line}", encoding="utf-8")
    done = _lint(folder)
    assert done.returncode == 1, done.stdout
    _, *parts = re.split(r"^(.+)\n-{5,}$", done.stdout, flags=re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in zip(parts[::2], parts[1::2], strict=True)}


def test_the_offline_verifier_needs_cryptography_and_nothing_else() -> None:
    files = sorted((ROOT / "services" / "audit" / "verifier").glob("*.py"))
    named: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    named |= {one.name for one in names}
                case ast.ImportFrom(module=str(module)):
                    named.add(module)
                case _:
                    pass
    outside = {name for name in named if not name.startswith("services.audit.verifier")}
    assert {name.partition(".")[0] for name in outside} - sys.stdlib_module_names == {"cryptography"}
    assert len(files) > 20


def test_the_contracts_hold() -> None:
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("path", "line", "contract"), PLANTED)
def test_a_planted_breach_breaks_its_contract(broken: Mapping[str, str], path: str, line: str, contract: str) -> None:
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    imported = line.removeprefix("import ").strip()
    said = f"{module} -> {imported} (" if imported else f"not listed as layers: - {module} "
    assert said in broken[contract], broken[contract]
