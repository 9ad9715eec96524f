"""The broker's definitions say what the code's topology says, and let each service do its part and no more."""

import re
from collections.abc import Iterable
from typing import Any, cast

import pytest

from libs.common.broker.declare import EXCHANGES, Names, dead_arguments, queue_arguments
from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import (
    AUDIT_COMMANDS,
    AUDIT_EVENTS,
    COMMANDS,
    DEAD,
    EVENTS,
    GATEWAY_OUTCOMES,
    NOTIFICATIONS_COMMANDS,
    NOTIFICATIONS_EVENTS,
    QUEUES,
    SETTINGS_COMMANDS,
    SETTINGS_EVENTS,
)
from libs.common.delivery.commands import CommandClient
from libs.common.delivery.senders import SERVICE_USER_PREFIX, SERVICES
from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import CommandData
from libs.common.ids import new_id

Definitions = dict[str, list[dict[str, Any]]]
ROOT_NAMES = Names("")
READS = {
    "gateway": {GATEWAY_OUTCOMES},
    "audit": {AUDIT_COMMANDS, AUDIT_EVENTS},
    "settings": {SETTINGS_COMMANDS, SETTINGS_EVENTS},
    "notifications": {NOTIFICATIONS_COMMANDS, NOTIFICATIONS_EVENTS},
}
EVERY_NAME = {
    *EXCHANGES,
    *(queue.name for queue in QUEUES),
    *(queue.dead for queue in QUEUES),
    "amq.default",
    "amq.topic",
}


def _one(rows: Iterable[dict[str, Any]], service: str) -> dict[str, Any]:
    found = [row for row in rows if row["user"] == f"{SERVICE_USER_PREFIX}{service}"]
    assert len(found) == 1
    return found[0]


def _allowed(pattern: str, names: Iterable[str]) -> set[str]:
    """The names that RabbitMQ would let through: it searches, an anchor is the pattern's own affair."""
    return {name for name in names if re.search(pattern, name)}


def test_exchanges_are_those_of_the_topology(definitions: Definitions) -> None:
    assert {one["name"]: one["type"] for one in definitions["exchanges"]} == EXCHANGES
    assert all(one["durable"] and not one["auto_delete"] for one in definitions["exchanges"])


def test_queues_have_the_arguments_that_the_code_would_declare(definitions: Definitions) -> None:
    wanted = {queue.name: queue_arguments(queue, ROOT_NAMES) for queue in QUEUES}
    wanted |= {queue.dead: dead_arguments() for queue in QUEUES}

    assert {one["name"]: one["arguments"] for one in definitions["queues"]} == wanted
    assert all(one["durable"] and not one["auto_delete"] for one in definitions["queues"])


def test_bindings_are_those_of_the_topology(definitions: Definitions) -> None:
    wanted = {(queue.exchange, queue.name, key) for queue in QUEUES for key in queue.bindings}
    wanted |= {(DEAD, queue.dead, queue.name) for queue in QUEUES}

    found = [(one["source"], one["destination"], one["routing_key"]) for one in definitions["bindings"]]

    assert set(found) == wanted
    assert len(found) == len(wanted)


def test_everything_lies_in_one_virtual_host_with_limits(definitions: Definitions) -> None:
    assert definitions["vhosts"] == [{"name": "reeve"}]
    for kind, rows in definitions.items():
        if kind not in ("users", "vhosts"):
            assert {row["vhost"] for row in rows} <= {"reeve"}, kind
    assert definitions["parameters"][0]["value"].keys() == {"max-connections", "max-queues"}


def test_there_is_one_user_for_each_service_and_no_administrator(definitions: Definitions) -> None:
    assert [user["name"] for user in definitions["users"]] == [f"{SERVICE_USER_PREFIX}{name}" for name in SERVICES]
    for user in definitions["users"]:
        assert user["tags"] == []
        assert user["hashing_algorithm"] == "rabbit_password_hashing_sha256"
        assert "password" not in user


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_its_own_queues_only(definitions: Definitions, service: str) -> None:
    readable = _allowed(_one(definitions["permissions"], service)["read"], EVERY_NAME)

    own = {name for queue in READS[service] for name in (queue.name, queue.dead)}
    assert readable == (own | {EVENTS} if service == "gateway" else own)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_publishes_where_it_must(definitions: Definitions, service: str) -> None:
    writable = _allowed(_one(definitions["permissions"], service)["write"], EVERY_NAME)

    wanted = {
        "gateway": {EVENTS, DEAD, COMMANDS},
        # Replies go to a queue by its name, which is what the default exchange is for.
        "audit": {EVENTS, DEAD, "amq.default"},
        "settings": {EVENTS, DEAD, "amq.default"},
        "notifications": {EVENTS, DEAD, "amq.default"},
    }
    assert writable == wanted[service]


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_may_declare_or_delete_what_lasts(definitions: Definitions, service: str) -> None:
    assert not _allowed(_one(definitions["permissions"], service)["configure"], EVERY_NAME)


def test_the_gateway_alone_makes_its_queues_for_replies_and_live_updates(definitions: Definitions) -> None:
    queues = {CommandClient(EmbeddedTransport()).reply_queue, f"reeve-gateway.live.{new_id()}"}

    for service in SERVICES:
        permission = _one(definitions["permissions"], service)
        for right in ("configure", "write", "read"):
            assert _allowed(permission[right], queues) == (queues if service == "gateway" else set()), service


def _events(service: str) -> set[str]:
    """The types of events that a service may be the source of."""
    kinds = [kind for kind in CATALOG if not issubclass(kind, CommandData)]
    own = {kind.TYPE for kind in kinds if f"/reeve/{service}" == kind.SOURCE}
    return own | ({"reeve.operation.rejected.v1"} if service in ("settings", "notifications") else set())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_sends_all_its_own_events(definitions: Definitions, service: str) -> None:
    pattern = cast("str", _one(definitions["topic_permissions"], service)["write"])

    assert _allowed(pattern, _events(service)) == _events(service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_sends_no_event_that_is_anothers(definitions: Definitions, service: str) -> None:
    pattern = _one(definitions["topic_permissions"], service)["write"]
    others = {kind for other in SERVICES if other != service for kind in _events(other)} - _events(service)

    assert _allowed(pattern, others - {"reeve.operation.rejected.v1"}) == set()


def test_the_gateway_passes_on_what_platforms_send(definitions: Definitions) -> None:
    foreign = {"com.shop.order.created.v1", "platform.import.failed.v1", "x", "odd\ntype", "reeve-like.type"}

    assert _allowed(_one(definitions["topic_permissions"], "gateway")["write"], foreign) == foreign
    for service in ("audit", "settings", "notifications"):
        assert not _allowed(_one(definitions["topic_permissions"], service)["write"], foreign)
