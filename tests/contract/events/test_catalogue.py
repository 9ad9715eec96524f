"""What was released stays as it was; what is sent is in the catalogue; the AsyncAPI document holds together."""

import ast
import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from libs.common.broker.topology import EVENTS
from libs.common.events.all_types import CATALOG
from libs.common.events.asyncapi import document, json_schema
from libs.common.events.catalog import CommandData, MessageData, OutcomeData, new_event
from libs.common.events.envelope import decode, encode
from tests.contract.events.compatibility import breaks, released

ROOT = Path(__file__).parents[3]
MODELS = list(CATALOG)
WIRE_TYPE = re.compile(r"(reeve|platform)(\.[a-z][a-z_]*)+\.v[1-9]")
TELLING_ALONE = {"reeve.metrics.sampled.v1", "reeve.replies.v1"}
"""No events: figures told to the clients of one gateway's stream, and the label of messages that carry outcomes back."""


@pytest.mark.parametrize("wire_type", released())
def test_a_released_type_changes_compatibly_or_not_at_all(wire_type: str) -> None:
    model = CATALOG.find(wire_type)
    assert model is not None, "a released type was removed"
    assert breaks(released()[wire_type], json_schema(model)) == []


def test_every_type_is_released() -> None:
    assert {model.TYPE for model in MODELS} == set(released()), "run: python -m tests.contract.events.release"


def _sample() -> dict[str, Any]:
    return copy.deepcopy(dict(released()["reeve.request.recorded.v1"]))


def _remove(schema: dict[str, Any]) -> None:
    del schema["properties"]["path"]


def _retype(schema: dict[str, Any]) -> None:
    schema["properties"]["status"]["type"] = "string"


def _require(schema: dict[str, Any]) -> None:
    schema["required"].append("permission")


def _require_new(schema: dict[str, Any]) -> None:
    schema["properties"]["host"] = {"type": "string"}
    schema["required"].append("host")


def _restrict(schema: dict[str, Any]) -> None:
    schema["properties"]["method"]["enum"] = ["GET"]


def _narrow(schema: dict[str, Any]) -> None:
    schema["properties"]["outcome"]["enum"].remove("denied")


def _shorten(schema: dict[str, Any]) -> None:
    schema["properties"]["path"]["maxLength"] = 10


def _no_null(schema: dict[str, Any]) -> None:
    schema["properties"]["error"] = {"type": "string"}


def _pattern(schema: dict[str, Any]) -> None:
    schema["properties"]["path"]["pattern"] = "^/"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_remove, "data.path: removed"),
        (_retype, "data.status: retyped from integer to string"),
        (_require, "data.permission: newly required"),
        (_require_new, "data.host: newly required"),
        (_restrict, "data.method: takes only"),
        (_narrow, "data.outcome: takes only"),
        (_shorten, "data.path: maxLength lowered to 10"),
        (_no_null, "data.error: retyped from null or string to string"),
        (_pattern, "data.path: other pattern"),
    ],
)
def test_a_planted_incompatible_change_is_seen(change: Any, complaint: str) -> None:
    changed = _sample()
    change(changed)
    assert any(found.startswith(complaint) for found in breaks(_sample(), changed))


def test_a_change_below_a_definition_is_seen() -> None:
    old = copy.deepcopy(dict(released()["reeve.setting.changed.v1"]))
    new = copy.deepcopy(old)
    new["$defs"]["Change"]["properties"].pop("old")
    assert any(found.endswith(".old: removed") for found in breaks(old, new))


def test_new_optional_members_and_enum_values_are_compatible() -> None:
    changed = _sample()
    changed["properties"]["host"] = {"type": "string"}
    changed["properties"]["outcome"]["enum"].append("postponed")
    assert breaks(_sample(), changed) == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.TYPE))
def test_each_example_fits_its_schema_and_travels(model: type[MessageData]) -> None:
    jsonschema_rs.validator_for(json_schema(model)).validate(dict(model.EXAMPLE))
    event = new_event(model.model_validate(model.EXAMPLE), subject="thing/1", source="/platform/shop")
    assert decode(encode(event)) == event
    assert CATALOG.check(event) is None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.TYPE))
def test_each_type_is_named_as_its_kind_is(model: type[MessageData]) -> None:
    assert WIRE_TYPE.fullmatch(model.TYPE)
    assert issubclass(model, CommandData) == model.TYPE.startswith("reeve.command.")
    assert not (issubclass(model, CommandData) and issubclass(model, OutcomeData))
    assert (model.SOURCE == "*") or model.SOURCE.startswith("/reeve/")


def _mentioned() -> Iterator[tuple[str, str]]:
    for folder in ("libs", "services"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and WIRE_TYPE.fullmatch(node.value):
                    yield node.value, str(file.relative_to(ROOT))


def test_every_type_that_the_code_names_is_in_the_catalogue() -> None:
    strange = {(name, file) for name, file in _mentioned() if CATALOG.find(name) is None and name not in TELLING_ALONE}
    assert strange == set()


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)


def _resolves(whole: Any, reference: str) -> bool:
    found = whole
    for part in reference.removeprefix("#/").split("/"):
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    return True


def test_the_asyncapi_document_holds_together() -> None:
    found = document(CATALOG, version="1.2.3", exchange=EVENTS)
    events = [model for model in MODELS if not issubclass(model, CommandData)]
    assert found["asyncapi"].startswith("3.")
    assert {"title", "version"} <= set(found["info"])
    assert {one["address"] for one in found["channels"].values()} == {model.TYPE for model in events}
    assert all(one["action"] in ("send", "receive") for one in found["operations"].values())
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in found["components"]["messages"])
    assert all(one["bindings"]["amqp"]["exchange"]["name"] == EVENTS for one in found["channels"].values())
    assert [one for one in _references(found) if not _resolves(found, one)] == []
    for message in found["components"]["messages"].values():
        schema = {**message["payload"]["properties"]["data"], "components": found["components"]}
        jsonschema_rs.validator_for(schema).validate(message["examples"][0]["payload"]["data"])


def test_one_name_means_one_thing_in_the_asyncapi_document() -> None:
    seen: dict[str, Any] = {}
    for model in MODELS:
        for name, schema in json_schema(model).get("$defs", {}).items():
            assert seen.setdefault(name, schema) == schema, name
