"""The variables that compose sets are those that the services read, and their values are taken."""

import importlib
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy import make_env
from libs.common.config import PREFIX, Settings
from services.preparation import ContainerSettings, Passwords
from tests.contract.deploy.conftest import ROOT, Compose

SERVICES = ("gateway", "audit", "settings", "notifications")


def _config(service: str) -> type[Settings]:
    found: type[Settings] = importlib.import_module(f"services.{service}.config").Config
    return found


def _variables(*kinds: type[Settings]) -> set[str]:
    return {f"{PREFIX}{name.upper()}" for kind in kinds for name in kind.model_fields}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_every_variable_it_is_given(compose: Compose, service: str) -> None:
    assert set(compose.environment(service, {})) <= _variables(_config(service))


def test_the_preparation_reads_every_variable_it_is_given(compose: Compose) -> None:
    assert set(compose.environment("prepare", {})) <= _variables(Passwords, ContainerSettings)


def test_the_signer_is_given_what_it_reads_and_the_log_has_one_name(
    compose: Compose, operator_values: dict[str, str]
) -> None:
    given = compose.environment("audit-signer", operator_values)
    assert set(given) <= _variables(_config("audit"))
    assert given["REEVE_AUDIT_LOG_ORIGIN"] == compose.environment("audit", operator_values)["REEVE_AUDIT_LOG_ORIGIN"]
    mounted = {str(one).split(":")[1] for one in compose.services["audit-signer"]["volumes"]}  # type: ignore[attr-defined]
    assert mounted == {given["REEVE_KEYS_DIR"], given["REEVE_AUDIT_SIGNER_DIR"]}


@pytest.mark.parametrize("service", SERVICES)
def test_the_values_of_a_new_operator_are_taken(
    compose: Compose, operator_values: dict[str, str], no_variables: pytest.MonkeyPatch, service: str
) -> None:
    for name, value in compose.environment(service, operator_values).items():
        no_variables.setenv(name, value)

    config = _config(service).load()

    taken = config.model_dump()
    assert taken["host"] == "0.0.0.0"
    assert taken["port"] == 8080
    assert taken["metrics_port"] == 9464
    assert taken["amqp_declare"] is False
    assert taken["keys_dir"] == Path("/var/lib/reeve/keys")


def test_the_preparation_takes_the_values_of_a_new_operator(
    compose: Compose, operator_values: dict[str, str], no_variables: pytest.MonkeyPatch
) -> None:
    for name, value in compose.environment("prepare", operator_values).items():
        no_variables.setenv(name, value)

    passwords = Passwords.load().by_role()

    assert passwords["audit"] == operator_values["REEVE_DB_PASSWORD_AUDIT"]
    assert str(ContainerSettings.load().keys) == "/var/lib/reeve/keys"


def test_compose_itself_accepts_the_file_where_it_is_installed(tmp_path: Path) -> None:
    """Without the plugin, test_compose holds the file against what this project uses of it."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode:
        return
    (tmp_path / "deploy" / "rabbitmq").mkdir(parents=True)
    assert make_env.main(["--folder", str(tmp_path)]) == 0
    command = [docker, "compose", "-f", str(ROOT / "docker-compose.yml"), "--env-file", str(tmp_path / ".env")]
    checked = subprocess.run([*command, "config", "--quiet"], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
