"""The documents say what the code says: variables, commands, links, tests and limits."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from libs.common.config import PREFIX, Settings
from services import preparation, single
from services.audit import config as audit
from services.audit.witness import config as witness
from services.gateway import config as gateway
from services.notifications import config as notifications
from services.settings import config as settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("services/*/README.md"), ROOT / "deploy" / "README.md"])
READERS = (single, preparation, audit, gateway, notifications, settings, witness)
_ROW = re.compile(r"^\| `(REEVE_[A-Z_]+)` \| (?:`([^`]*)`|none) \|", re.MULTILINE)
_VARIABLE = re.compile(r"REEVE_[A-Z_]*[A-Z]")
_LIMIT = re.compile(r"^\| .+ \| ([\d,]+)(?: (\S+)[^|]*)? \| .+ \| `(\S+)\.py: (\w+)` \|$", re.MULTILINE)
_UNITS = {"KiB": 1024, "MiB": 1024 * 1024}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _kinds(kind: type[Settings]) -> Iterator[type[Settings]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)


def _fields() -> dict[str, FieldInfo]:
    ours = {module.__name__ for module in READERS} | {"libs.common.config"}
    found: dict[str, FieldInfo] = {}
    for kind in _kinds(Settings):
        if kind.__module__ in ours:
            found.update({f"{PREFIX}{name.upper()}": field for name, field in kind.model_fields.items()})
    return found


def test_the_table_of_variables_is_the_code_s() -> None:
    documented = {found[1]: found[2] for found in _ROW.finditer(read("README.md"))}
    fields = _fields()
    assert documented.keys() == fields.keys()
    for name, field in fields.items():
        default = None if field.is_required() or field.default in (None, "", ()) else str(field.default)
        assert documented[name] == default, name


def test_every_variable_that_the_code_reads_by_name_is_documented() -> None:
    sources = [*ROOT.glob("libs/**/*.py"), *ROOT.glob("services/**/*.py"), ROOT / "Makefile"]
    read_by_name = {name for path in sources for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))}
    assert {name for name in read_by_name if name not in read("README.md")} <= {"REEVE_DB_PASSWORD"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_variable_that_a_document_names_exists(document: Path) -> None:
    sources = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("deploy/*.py"), *ROOT.glob("libs/**/*.py"), ROOT / "Makefile"]
    known = {name for path in sources for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))}
    known |= _fields().keys() | set(_VARIABLE.findall(read("docker-compose.yml")))
    assert set(_VARIABLE.findall(document.read_text(encoding="utf-8"))) - known == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_make_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    code = re.findall(r"`[^`\n]+`|```.*?```", document.read_text(encoding="utf-8"), re.DOTALL)
    named = {name for part in code for name in re.findall(r"(?:^|[`\s;])make ([a-z]+)", part)}
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_resolves(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    relative = [link for link in links if not link.startswith(("http://", "https://"))]
    assert [link for link in relative if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_and_test_that_a_document_names_exists(document: Path) -> None:
    named = re.findall(
        r"`((?:tests|libs|services|deploy)/[\w./-]+)(?:::(\w+)|: \w+)?`", document.read_text(encoding="utf-8")
    )
    for path, test in named:
        assert (ROOT / path).exists(), path
        if test:
            assert f"def {test}(" in read(path), test


def test_the_table_of_limits_says_what_the_code_says() -> None:
    rows = _LIMIT.findall(read("ARCHITECTURE.md"))
    assert len(rows) == len(re.findall(r"^\|.*\.py: \w+` \|$", read("ARCHITECTURE.md"), re.MULTILINE)) > 40
    for number, unit, module, name in rows:
        limit = getattr(importlib.import_module(module.replace("/", ".")), name)
        assert limit == int(number.replace(",", "")) * _UNITS.get(unit, 1), f"{module}: {name}"


def test_every_crash_point_is_listed() -> None:
    sources = [*ROOT.glob("libs/**/*.py"), *ROOT.glob("services/**/*.py")]
    points = {
        name for path in sources for name in re.findall(r'crashpoint\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    }
    listed = set(
        re.findall(
            r"`((?:gw|relay|cons|seq|sign|sink|redact|export|mail|retention|anchor|witness)\.\w+)`",
            read("ARCHITECTURE.md"),
        )
    )
    assert listed == points
