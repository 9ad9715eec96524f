"""The messages of settings: released names and members, and that no free form holds a secret."""

import orjson
import pytest

from libs.common.events import settings as messages
from libs.common.events.catalog import CommandData, MessageData, OutcomeData, new_event
from libs.common.events.envelope import MOST_EVENT_BYTES, decode, encode
from libs.common.events.settings import ChangeSetting, SettingChanged, SettingResponse

MODELS = [
    thing for thing in vars(messages).values() if isinstance(thing, type) and issubclass(thing, MessageData) and "TYPE" in vars(thing)
]  # fmt: skip


def test_the_released_types_are_there() -> None:
    assert {model.TYPE: model.ACTION for model in MODELS} == {
        "reeve.command.setting.create.v1": "create_setting",
        "reeve.command.setting.change.v1": "update_setting",
        "reeve.command.setting.define.v1": "define_setting",
        "reeve.command.setting.upsert.v1": "upsert_setting",
        "reeve.command.setting.delete.v1": "delete_setting",
        "reeve.command.setting.rollback.v1": "rollback_setting",
        "reeve.setting.created.v1": "create_setting",
        "reeve.setting.changed.v1": "update_setting",
        "reeve.setting.defined.v1": "define_setting",
        "reeve.setting.deleted.v1": "delete_setting",
        "reeve.setting.rolled_back.v1": "rollback_setting",
    }


@pytest.mark.parametrize("model", MODELS)
def test_an_example_fits_its_model_and_travels(model: type[MessageData]) -> None:
    data = model.model_validate(model.EXAMPLE)
    sent = new_event(data, subject="setting/max_stores_allowed")
    assert model.model_validate(decode(encode(sent)).data) == data


@pytest.mark.parametrize("model", [model for model in MODELS if issubclass(model, CommandData)])
def test_a_command_holds_no_open_value(model: type[MessageData]) -> None:
    assert not {"value", "default_value"} & set(model.model_fields)
    assert model.SOURCE == "/reeve/gateway"


@pytest.mark.parametrize(
    "model", [model for model in MODELS if issubclass(model, OutcomeData) and model.EXAMPLE.get("result")]
)
def test_a_result_is_a_setting_as_the_api_answers_it(model: type[MessageData]) -> None:
    SettingResponse.model_validate(model.EXAMPLE["result"])


def test_null_members_of_a_result_travel() -> None:
    """A setting's null members are part of its public shape, also where an event leaves out what is absent."""
    event = new_event(SettingChanged.model_validate(SettingChanged.EXAMPLE), subject="setting/x")
    assert event.data["result"]["json_schema"] is None


def test_the_largest_command_fits_a_message() -> None:
    command = ChangeSetting(key="k" * 255, sealed_value="x" * messages.MOST_SEALED_CHARACTERS, reason="r" * 1000)
    assert len(encode(new_event(command, subject="setting/" + "k" * 255))) < MOST_EVENT_BYTES


def test_the_largest_sealed_value_can_travel() -> None:
    """20,000 bytes of value are up to 120,002 bytes of JSON text, sealed 48 bytes longer, as base64 a third longer."""
    assert messages.MOST_SEALED_CHARACTERS >= (6 * 20_000 + 2 + 48 + 2) // 3 * 4
    assert len(orjson.dumps("\x01" * 20_000)) == 120_002
