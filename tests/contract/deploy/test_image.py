"""The image is made of what it needs, by hash, and runs as nobody in particular."""

import json
import re

import pytest

from tests.contract.deploy.conftest import DEPLOY, ROOT

LINES = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8")).splitlines()
INSTRUCTIONS = [line for line in LINES if line and not line.startswith("#")]
FINAL = INSTRUCTIONS[max(index for index, line in enumerate(INSTRUCTIONS) if line.startswith("FROM ")) :]


def _final(instruction: str) -> list[str]:
    return [line.removeprefix(f"{instruction} ") for line in FINAL if line.startswith(f"{instruction} ")]


def test_the_base_is_an_exact_version_of_a_slim_image() -> None:
    assert INSTRUCTIONS[0] == "ARG PYTHON=python:3.11.16-slim-bookworm"
    assert {line.split()[1] for line in INSTRUCTIONS if line.startswith("FROM ")} == {"${PYTHON}"}


def test_every_package_comes_by_hash_and_as_a_wheel() -> None:
    [installing] = [line for line in INSTRUCTIONS if "pip install" in line]
    assert "--require-hashes --only-binary=:all: -r requirements.txt" in installing
    assert "--index-url" not in installing


def test_the_final_image_installs_nothing() -> None:
    for run in _final("RUN"):
        assert not re.search(r"apt-get|pip|curl|wget|gcc|make", run), run


def test_it_runs_as_an_ordinary_user_by_number() -> None:
    assert _final("USER") == ["10001:10001"]
    after = FINAL[FINAL.index("USER 10001:10001") :]
    assert not [line for line in after if line.startswith(("RUN ", "COPY ", "ADD "))]


@pytest.mark.parametrize("instruction", ["ENTRYPOINT", "CMD"])
def test_signals_reach_the_process_itself(instruction: str) -> None:
    [form] = _final(instruction)
    assert isinstance(json.loads(form), list)


def test_it_tells_its_health_without_other_programs() -> None:
    [health] = _final("HEALTHCHECK")
    command = json.loads(health[health.index("CMD ") + 4 :])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "healthcheck", "exec")
    assert "/readyz" in command[2]


def test_what_is_not_named_stays_out_of_the_image() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {
        source
        for line in INSTRUCTIONS
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == let_in == {"libs", "services", "requirements.txt"}
    assert {"**/__pycache__", "**/*.pyc"} <= set(rules)


def test_volumes_find_a_folder_of_the_right_owner() -> None:
    [made] = [run for run in _final("RUN") if "install --directory" in run]
    for service in ("gateway", "audit", "audit-signer", "settings", "notifications"):
        assert f"/var/lib/reeve/keys-of/{service}" in made
    assert "--owner=reeve --group=reeve --mode=0700" in made
