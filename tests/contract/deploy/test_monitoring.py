"""Rules and dashboards speak of metrics and labels that exist, and every alert is tested."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from libs.common.broker.topology import MOST_QUEUE_LENGTH
from tests.contract.deploy.conftest import DEPLOY, ROOT, Compose

KINDS = {"Counter", "Gauge", "Histogram", "Summary"}
FOREIGN = {
    "up", "ALERTS",
    "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total",
    "pg_up", "pg_stat_activity_count", "pg_settings_max_connections",
    "prometheus_notifications_alertmanagers_discovered", "prometheus_notifications_errors_total",
    "rabbitmq_alarms_memory_used_watermark", "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_detailed_queue_messages", "rabbitmq_detailed_queue_messages_ready", "rabbitmq_detailed_queue_consumers",
    "rabbitmq_process_resident_memory_bytes",
}  # fmt: skip
"""Of Prometheus, the Python client, RabbitMQ and the Postgres exporter; seen on real ones or read in their source."""
TARGET_LABELS = {"job", "instance", "le"}
_METRIC = re.compile(r"\b(?:reeve|rabbitmq|pg|prometheus|process|up|ALERTS)(?:_[a-z_]+)?\b(?![:\"=~(])")
_SELECTOR = re.compile(r"\b(reeve_[a-z_]+)\{([^}]*)\}")
_GROUPED = re.compile(r"by \(([a-z_, ]+)\) \((?:rate|increase)?\(?(reeve_[a-z_]+)(?!\w)")


def _declared() -> dict[str, set[str]]:
    """Every metric that the code declares, under each name it is exposed by, with its labels."""
    found: dict[str, set[str]] = {}
    for path in (*(ROOT / "libs").rglob("*.py"), *(ROOT / "services").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in KINDS):
                continue
            if not (call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)):
                continue
            labels = set(ast.literal_eval(call.args[2])) if len(call.args) > 2 else set()
            for name in _exposed(call.func.id, call.args[0].value):
                found[name] = labels
    return found


def _exposed(kind: str, name: str) -> set[str]:
    if kind == "Counter":
        return {f"{name.removesuffix('_total')}_total"}
    if kind == "Gauge":
        return {name}
    return {f"{name}_bucket", f"{name}_count", f"{name}_sum"}


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "reeve.rules.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _dashboards() -> Iterator[dict[str, Any]]:
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _expressions() -> list[str]:
    shown = [
        target["expr"] for board in _dashboards() for panel in board["panels"] for target in panel.get("targets", ())
    ]
    shown += [one["expr"] for board in _dashboards() for one in board["annotations"]["list"]]
    return [rule["expr"] for rule in _rules()] + shown


def test_every_metric_that_is_asked_for_exists() -> None:
    declared = _declared()
    for expression in _expressions():
        bare = re.sub(r'"[^"]*"', '""', expression)
        for name in _METRIC.findall(bare):
            assert name in declared or name in FOREIGN, f"{name} in {expression}"


def test_every_label_that_is_asked_for_exists() -> None:
    declared = _declared()
    for expression in _expressions():
        for name, matchers in _SELECTOR.findall(expression):
            asked = set(re.findall(r"([a-z_]+)\s*[=!]", matchers))
            assert asked <= declared[name] | TARGET_LABELS, expression
        for labels, name in _GROUPED.findall(expression):
            assert set(labels.replace(" ", "").split(",")) <= declared[name] | TARGET_LABELS, expression


def test_what_the_platform_is_to_be_watched_for_is_watched() -> None:
    asked = " ".join(rule["expr"] for rule in _rules())
    for metric in (
        "reeve_outbox_oldest_age_seconds", "reeve_relay_failures_total", "reeve_dead_letters_total",
        "reeve_consumer_retries_total", 'status=~"5.."', 'status="403"', "reeve_http_request_duration_seconds_bucket",
        'up{job="reeve"}', 'queue="audit.events"',
    ):  # fmt: skip
        assert metric in asked, metric


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in _rules():
        assert rule["labels"]["severity"] in {"warning", "critical", "none"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert all(text.endswith(".") for text in rule["annotations"].values()), rule["alert"]


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    tests = (DEPLOY / "prometheus" / "reeve.rules.test.yml").read_text(encoding="utf-8")
    fired = set(re.findall(r'ALERTS\{alertname="(\w+)", alertstate="firing"', tests))
    assert {rule["alert"] for rule in _rules()} == fired


def test_a_queue_is_called_full_well_before_it_is() -> None:
    [rule] = [rule for rule in _rules() if rule["alert"] == "ReeveQueueFilling"]
    limit = int(rule["expr"].rpartition("> ")[2])
    assert limit < 0.8 * MOST_QUEUE_LENGTH
    assert f"{MOST_QUEUE_LENGTH:,}" in rule["annotations"]["summary"]


def test_alertmanager_mutes_and_routes_alerts_that_exist() -> None:
    text = (DEPLOY / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    names = {rule["alert"] for rule in _rules()}
    matchers = re.findall(r"alertname =~? \"([^\"]+)\"", text)
    assert matchers
    for matcher in matchers:
        found = re.fullmatch(r"(\w+)\(([\w|]+)\)", matcher)
        wanted = {found[1] + one for one in found[2].split("|")} if found else {matcher}
        assert wanted <= names, matcher


def test_prometheus_asks_the_containers_that_there_are(compose: Compose) -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {
        target
        for job in config["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
        if not target.startswith("127.0.0.1:")
    }
    assert {target.split(":")[0] for target in targets} <= set(compose.services)
    assert {f"{name}:9464" for name in ("gateway", "audit", "audit-signer", "settings", "notifications")} <= targets
    mounted = {str(mount).split(":")[1] for mount in compose.services["prometheus"]["volumes"]}  # type: ignore[attr-defined]
    assert set(config["rule_files"]) <= mounted


def test_dashboards_use_the_sources_that_are_provisioned() -> None:
    path = DEPLOY / "grafana" / "provisioning" / "datasources" / "reeve.yml"
    sources = {one["uid"] for one in yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]}
    for board in _dashboards():
        used = {panel["datasource"]["uid"] for panel in board["panels"] if "datasource" in panel}
        assert used <= sources
        identifiers = [panel["id"] for panel in board["panels"]]
        assert len(set(identifiers)) == len(identifiers)
        assert all(panel["description"] for panel in board["panels"] if panel["type"] != "row")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("promtool", ["check", "rules", "reeve.rules.yml"]),
        ("promtool", ["test", "rules", "reeve.rules.test.yml"]),
        ("amtool", ["check-config", "../alertmanager/alertmanager.yml"]),
    ],
)
def test_prometheus_own_tools_agree_where_they_are_installed(program: str, arguments: list[str]) -> None:
    """Without them the tests above are what there is: promtool is no Python package."""
    found = shutil.which(program)
    if found is None:
        return
    ran = subprocess.run(
        [found, *arguments], check=False, capture_output=True, text=True, cwd=DEPLOY / "prometheus", timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
