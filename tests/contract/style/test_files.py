"""Every file reads as the others do: a sentence at its head, a bearable length, a name that says something."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
FOLDERS = ("libs", "services", "tests", "deploy")
MOST_LINES = 400
MOST_TEST_LINES = 500
VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "misc", "base", "core", "common_utils", "stuff"}
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
SKIPS = re.compile(r"pytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)\b|unittest\.mock|\bMagicMock\b|mocker\b")
"""May leave out published test vectors that are too large to keep here."""
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
SOURCES = [file for file in FILES if file.relative_to(ROOT).parts[0] in ("libs", "services")]


class Told(NamedTuple):
    """What is asked of a file; its tree is not kept, a thousand would fill the memory."""

    head: str
    silent: list[str]
    """Public classes without a docstring, with their lines."""
    statements: int


@cache
def told(file: Path) -> Told:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = [one for one in tree.body if isinstance(one, ast.ClassDef) and not one.name.startswith("_")]
    silent = [f"{one.lineno} {one.name}" for one in classes if not ast.get_docstring(one)]
    return Told((ast.get_docstring(tree) or "").strip(), silent, len(tree.body))


def test_there_are_files() -> None:
    assert len(SOURCES) > 100


def test_every_module_begins_with_a_sentence() -> None:
    assert [str(file.relative_to(ROOT)) for file in FILES if not told(file).head] == []


def test_every_sentence_at_the_head_ends() -> None:
    heads = {file: told(file).head.split("\n\n")[0].rstrip() for file in SOURCES}
    assert [str(file.relative_to(ROOT)) for file, head in heads.items() if head[-1:] not in ".!?:`"] == []


def test_every_public_class_says_what_it_answers_for() -> None:
    assert [f"{file.relative_to(ROOT)}:{one}" for file in SOURCES for one in told(file).silent] == []


def test_no_file_is_too_long() -> None:
    lengths = {file: len(file.read_text().splitlines()) for file in FILES}
    most = {file: MOST_LINES if file in SOURCES else MOST_TEST_LINES for file in FILES}
    assert [f"{file.relative_to(ROOT)}: {count}" for file, count in lengths.items() if count > most[file]] == []


def test_no_name_is_vague() -> None:
    vague = [
        file for file in FILES if file.stem in VAGUE or any(part in VAGUE for part in file.relative_to(ROOT).parts)
    ]
    assert [str(file.relative_to(ROOT)) for file in vague] == []


def test_nothing_is_left_for_later_or_left_out() -> None:
    here = Path(__file__)
    left = [
        f"{file.relative_to(ROOT)}: {found[0]}"
        for file in FILES
        if file != here
        for pattern in (MARKERS, SKIPS)
        if (found := pattern.search(file.read_text()))
    ]
    assert left == []


def test_packages_export_nothing() -> None:
    exporting = [
        str(file.relative_to(ROOT)) for file in FILES if file.name == "__init__.py" and told(file).statements != 1
    ]
    assert exporting == []


def test_no_file_names_a_path_of_one_machine_or_a_package_index() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    foreign = re.compile(r"/work/|/home/\w+/|--index-url\s+http|--extra-index-url|\bpypi\.\w+\.(?:internal|local)\b")
    found = [
        name
        for name in files
        if name and (ROOT / name).is_file() and name != str(Path(__file__).relative_to(ROOT))
        and foreign.search((ROOT / name).read_text(encoding="utf-8", errors="replace"))
    ]  # fmt: skip
    assert found == []
