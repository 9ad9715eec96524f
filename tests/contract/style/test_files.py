"""Every file reads as the others do: a sentence at its head, a bearable length, a name that says something."""

import ast
import re
import subprocess
from pathlib import Path

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


def test_there_are_files() -> None:
    assert len(SOURCES) > 100


def test_every_module_begins_with_a_sentence() -> None:
    bare = [file for file in FILES if not (ast.get_docstring(ast.parse(file.read_text())) or "").strip()]
    assert [str(file.relative_to(ROOT)) for file in bare] == []


def test_every_sentence_at_the_head_ends() -> None:
    heads = {file: (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0] for file in SOURCES}
    assert [str(file.relative_to(ROOT)) for file, head in heads.items() if head.rstrip()[-1:] not in ".!?:`"] == []


def test_every_public_class_says_what_it_answers_for() -> None:
    silent = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in SOURCES
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


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
        str(file.relative_to(ROOT))
        for file in FILES
        if file.name == "__init__.py" and len(ast.parse(file.read_text()).body) != 1
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
