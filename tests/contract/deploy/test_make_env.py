"""The operator's script: random, private, repeatable, and refusing what would be weak."""

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import make_env
from tests.contract.deploy.conftest import DEPLOY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the project's, where nothing was made yet."""
    (tmp_path / "deploy" / "rabbitmq").mkdir(parents=True)
    return tmp_path


def _run(folder: Path, *arguments: str) -> dict[str, str]:
    assert make_env.main(["--folder", str(folder), *arguments]) == 0
    return make_env.read_env(folder / ".env")


def test_the_environment_file_is_its_owners_alone(folder: Path) -> None:
    _run(folder)

    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600


def test_every_password_is_random_and_its_own(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "deploy" / "rabbitmq").mkdir(parents=True)
    names = (*make_env.FIRST_START_PASSWORDS, *make_env.SERVICE_PASSWORDS, make_env.ADMIN_PASSWORD)

    first, second = _run(folder), _run(other)

    drawn = [values[name] for values in (first, second) for name in names]
    assert len(set(drawn)) == 2 * len(names)
    assert min(map(len, drawn)) >= 43


def test_a_second_run_keeps_what_is_there_and_adds_what_is_missing(folder: Path) -> None:
    first = _run(folder, "--admin-email", "ada@example.com")
    lines = (folder / ".env").read_text().splitlines(keepends=True)
    (folder / ".env").write_text("".join(line for line in lines if not line.startswith("REEVE_BROKER_PASSWORD_AUDIT")))

    second = _run(folder)

    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"REEVE_BROKER_PASSWORD_AUDIT"}
    assert second["REEVE_ADMIN_EMAIL"] == "ada@example.com"


def test_rotation_draws_the_services_passwords_anew_and_no_others(folder: Path) -> None:
    first, second = _run(folder), _run(folder, "--rotate")

    changed = {name for name in first if first[name] != second[name]}
    assert changed == set(make_env.SERVICE_PASSWORDS)


def test_values_survive_writing_and_reading(folder: Path) -> None:
    values = make_env.complete({"REEVE_CLIENTS": '[{"client_id": "shop", "name": "Shop $1 # 2"}]'})

    make_env.write(folder / ".env", make_env.render_env(values), mode=0o600)

    assert make_env.read_env(folder / ".env") == values


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("POSTGRES_PASSWORD=changeme", "POSTGRES_PASSWORD in .env must be at least 24 characters"),
        ("REEVE_DB_PASSWORD_AUDIT='" + "p@ss/word:" * 4 + "'", "REEVE_DB_PASSWORD_AUDIT in .env must be at least 24"),
        ("REEVE_ADMIN_PASSWORD=short", "REEVE_ADMIN_PASSWORD in .env must be at least 12 characters"),
        ("this is not an assignment", ".env line 1 must be NAME=value"),
    ],
)
def test_a_weak_or_wrong_file_is_refused_with_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, complaint: str
) -> None:
    (folder / ".env").write_text(line + "\n")

    assert make_env.main(["--folder", str(folder)]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"make_env: {complaint}")
    assert said.count("\n") == 1
    assert (folder / ".env").read_text() == line + "\n"


def test_one_password_for_two_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = "x" * 30
    (folder / ".env").write_text(f"REEVE_DB_PASSWORD_AUDIT={same}\nREEVE_DB_PASSWORD_GATEWAY={same}\n")

    assert make_env.main(["--folder", str(folder)]) == 2
    assert "two passwords" in capsys.readouterr().err


def test_the_hash_is_the_one_rabbitmq_makes() -> None:
    """RabbitMQ 3.10.8 exported this of a user with the password `swordfish`; it begins with the salt it drew."""
    made_by_rabbitmq = "CZmP/lFCQqogsi3ENbzBz/g5zcMtwpbSgOcSLFxEeGS6EBjh"

    salt = base64.b64decode(made_by_rabbitmq)[:4]

    assert make_env.password_hash("swordfish", salt=salt) == made_by_rabbitmq


def test_a_hash_tells_neither_the_password_nor_that_two_are_the_same() -> None:
    hashes = {make_env.password_hash("swordfish", salt=os.urandom(4)) for _ in range(20)}

    assert len(hashes) == 20
    with pytest.raises(ValueError, match="salt must be 4 bytes, got 3"):
        make_env.password_hash("swordfish", salt=b"abc")


def test_the_rendered_definitions_hold_hashes_and_no_password(folder: Path) -> None:
    values = _run(folder)

    rendered = (folder / "deploy" / "rabbitmq" / "definitions.json").read_text()

    assert "${" not in rendered
    assert not [name for name, value in values.items() if "PASSWORD" in name and value in rendered]
    for user in json.loads(rendered)["users"]:
        password = values[f"REEVE_BROKER_PASSWORD_{user['name'].removeprefix('reeve_').upper()}"]
        salt = base64.b64decode(user["password_hash"])[:4]
        assert user["password_hash"] == make_env.password_hash(password, salt=salt)


def test_the_script_needs_nothing_but_python(folder: Path) -> None:
    command = [sys.executable, "-I", "-S", str(DEPLOY / "make_env.py"), "--folder", str(folder)]

    ran = subprocess.run(command, check=False, capture_output=True, text=True, env={}, timeout=30)

    assert ran.returncode == 0, ran.stderr
    assert (folder / ".env").exists()


def test_what_the_script_writes_is_kept_out_of_the_repository() -> None:
    ignored = (DEPLOY.parent / ".gitignore").read_text().split()
    assert ".env" in ignored
    assert "rabbitmq/definitions.json" in (DEPLOY / ".gitignore").read_text().split()
