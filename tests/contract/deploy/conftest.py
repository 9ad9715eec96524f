"""The deployment's files as data: parsed, and with an operator's values put in."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from deploy import make_env

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
Json = dict[str, object]
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<rule>:[-?])?(?P<rest>[^}]*)\}")


class Compose:
    """docker-compose.yml as written, and as compose would see it with a given environment file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.raw = yaml.safe_load(text)
        self.services: dict[str, dict[str, object]] = self.raw["services"]

    def variables(self) -> list[tuple[str, str, str]]:
        """Every variable that is used: its name, `:-`, `:?` or nothing, and the default or the message."""
        return [(one["name"], one["rule"] or "", one["rest"]) for one in _VARIABLE.finditer(self.text)]

    def environment(self, service: str, values: Mapping[str, str]) -> dict[str, str]:
        """What a container of this service gets, with `values` as the environment file."""
        found = self.services[service].get("environment", {})
        assert isinstance(found, dict)
        return {name: _filled_in(str(value), values) for name, value in found.items()}


def _filled_in(text: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        given = values.get(found["name"], "")
        return given or (found["rest"] if found["rule"] == ":-" else "")

    return _VARIABLE.sub(value, text)


@pytest.fixture(scope="session")
def compose() -> Compose:
    """The compose file."""
    return Compose((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def operator_values() -> dict[str, str]:
    """What `make_env.py` writes for a new operator."""
    return make_env.complete({})


@pytest.fixture(scope="session")
def definitions(operator_values: dict[str, str]) -> dict[str, list[Json]]:
    """The broker's definitions as they are loaded."""
    template = make_env.TEMPLATE.read_text(encoding="utf-8")
    rendered: dict[str, list[Json]] = json.loads(make_env.render_definitions(template, operator_values))
    return rendered


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without variables of Reeve."""
    for name in [name for name in os.environ if name.startswith("REEVE_")]:
        monkeypatch.delenv(name)
    return monkeypatch
