"""The compose file keeps what it promises: contained, bounded, checked, and without a secret in it."""

import re
from pathlib import Path
from typing import Any

import pytest

from deploy import make_env
from tests.contract.deploy.conftest import ROOT, Compose

OURS = ("gateway", "audit", "settings", "notifications")
SIGNER = "audit-signer"
ONE_SHOT = ("prepare", "share-keys")
PUBLISHED = {"gateway", "grafana", "prometheus"}
KNOWN_OPTIONS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment", "healthcheck", "hostname", "image",
    "init", "logging", "network_mode", "networks", "ports", "read_only", "restart", "security_opt", "shm_size",
    "stop_grace_period", "tmpfs", "ulimits", "user", "volumes",
}  # fmt: skip


def _services(compose: Compose) -> dict[str, dict[str, Any]]:
    return compose.services


def test_every_part_of_the_platform_is_there(compose: Compose) -> None:
    wanted = {
        *OURS,
        SIGNER,
        *ONE_SHOT,
        "postgres",
        "rabbitmq",
        "prometheus",
        "grafana",
        "alertmanager",
        "postgres-exporter",
    }
    assert set(compose.services) == wanted


def test_no_option_is_misspelt(compose: Compose) -> None:
    for name, service in _services(compose).items():
        assert set(service) <= KNOWN_OPTIONS, name


def test_every_container_is_contained(compose: Compose) -> None:
    for name, service in _services(compose).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        user, group = service["user"].split(":")
        assert int(user) > 0, name
        assert group.isdigit(), name


def test_every_container_is_bounded(compose: Compose) -> None:
    for name, service in _services(compose).items():
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory", "pids"}, name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        for mount in service.get("tmpfs", []):
            assert "size=" in mount, name


def test_every_lasting_container_is_checked_and_started_again(compose: Compose) -> None:
    for name, service in _services(compose).items():
        if name in ONE_SHOT:
            assert service["healthcheck"] == {"disable": True}
            assert service["restart"] == "no"
        else:
            assert service["healthcheck"]["test"][0] == "CMD", name
            assert {"interval", "timeout", "retries"} <= set(service["healthcheck"]), name
            assert service["restart"] == "unless-stopped", name


def test_a_service_waits_for_what_it_needs(compose: Compose) -> None:
    services = _services(compose)
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert how == {"condition": wanted}, f"{name} needs {needed}"
    for name in OURS:
        assert {*ONE_SHOT, "postgres", "rabbitmq"} <= set(services[name]["depends_on"]), name
    assert set(services["share-keys"]["depends_on"]) == {"prepare"}
    assert _order(services)


def test_only_the_gateway_and_the_two_views_have_a_port_on_the_host_and_only_locally(compose: Compose) -> None:
    published = {name: service["ports"] for name, service in _services(compose).items() if "ports" in service}
    assert set(published) == PUBLISHED
    for name, ports in published.items():
        assert len(ports) == 1, name
        assert re.match(r"127\.0\.0\.1:|\$\{REEVE_PUBLISH:-127\.0\.0\.1:", ports[0]), name


def test_the_stores_have_no_way_out(compose: Compose) -> None:
    networks = compose.raw["networks"]
    for name in ("postgres", "rabbitmq", SIGNER, "settings", "prepare"):
        joined = _services(compose)[name]["networks"]
        assert all((networks[network] or {}).get("internal") for network in joined), name
    assert not set(_services(compose)["grafana"]["networks"]) & set(_services(compose)["postgres"]["networks"])


def test_what_sends_mails_has_a_way_out_and_none_in(compose: Compose) -> None:
    notifications = _services(compose)["notifications"]
    assert (set(notifications["networks"]), "ports" in notifications) == ({"edge", "platform"}, False)


def test_what_is_named_exists(compose: Compose) -> None:
    used_volumes, used_networks = set(), set()
    for service in _services(compose).values():
        used_networks |= set(service.get("networks", ()))
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert mount.endswith(":ro"), mount
                assert (ROOT / source).exists() or Path(source).name == "definitions.json", mount
            else:
                used_volumes.add(source)
    assert used_volumes == set(compose.raw["volumes"])
    assert used_networks == set(compose.raw["networks"])


def test_foreign_images_are_named_by_exact_version(compose: Compose) -> None:
    for name, service in _services(compose).items():
        if name not in (*OURS, SIGNER, *ONE_SHOT):
            assert re.fullmatch(r"[a-z./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"]), name


OPTIONAL_SECRETS = {
    "REEVE_OIDC_CLIENT_SECRET",
    "REEVE_AUDIT_ARCHIVE_BUCKET_SECRET",
    "REEVE_AUDIT_ANCHOR_BUCKET_SECRET",
}
"""Of what may be left out altogether."""


def test_no_secret_is_written_down_and_none_may_be_left_out(compose: Compose) -> None:
    secret = re.compile(r"PASS|SECRET|TOKEN|_KEY$")
    for name, service in _services(compose).items():
        for variable, value in service.get("environment", {}).items():
            if secret.search(variable):
                rule = r"\$\{\w+:-\}" if variable in OPTIONAL_SECRETS else r"\$\{\w+:\?[^}]+\}"
                assert re.fullmatch(rule, value), f"{name} {variable}"
            if "://" in value and "@" in value:
                assert re.search(r"://\w+:\$\{\w+:\?[^}]+\}@", value), f"{name} {variable}"


def test_every_variable_that_must_be_set_is_made(compose: Compose, operator_values: dict[str, str]) -> None:
    required = {name for name, rule, _ in compose.variables() if rule == ":?"}
    assert required <= set(operator_values)
    assert not [name for name, rule, _ in compose.variables() if not rule]
    used = {name for name, _, _ in compose.variables()} | set(make_env.BROKER_PASSWORDS)
    assert set(operator_values) <= used


@pytest.mark.parametrize("name", OURS)
def test_each_service_has_its_own_database_role_broker_user_and_keys(
    compose: Compose, operator_values: dict[str, str], name: str
) -> None:
    given = compose.environment(name, operator_values)
    database_password = operator_values[f"REEVE_DB_PASSWORD_{name.upper()}"]
    broker_password = operator_values[f"REEVE_BROKER_PASSWORD_{name.upper()}"]
    assert given["REEVE_DATABASE_URL"] == f"postgresql://reeve_{name}:{database_password}@postgres:5432/reeve"
    assert given["REEVE_AMQP_URL"] == f"amqp://reeve_{name}:{broker_password}@rabbitmq:5672/reeve"
    folders = ("audit-exports:/var/lib/reeve/exports", "audit-archive:/var/lib/reeve/audit-archive")
    files = {"audit": [*folders], "gateway": ["gateway-exports:/var/lib/reeve/exports"]}.get(name, [])
    assert _services(compose)[name]["volumes"] == [f"{name}-keys:/var/lib/reeve/keys:ro", *files]


def _order(services: dict[str, dict[str, Any]]) -> list[str]:
    """The services in an order of starting; fails on a circle."""
    order: list[str] = []
    while len(order) < len(services):
        ready = [
            name for name, one in services.items() if name not in order and set(one.get("depends_on", ())) <= set(order)
        ]
        assert ready, "services wait for each other in a circle"
        order += ready
    return order
