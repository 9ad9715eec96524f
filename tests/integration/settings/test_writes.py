"""What each write does, on a real Postgres."""

import pytest

from libs.common.errors import Conflict, Invalid, NotFound, PreconditionFailed, ReeveError
from tests.integration.settings.conftest import ADMIN, SettingsUnderTest


async def test_a_created_setting_is_answered_whole(settings: SettingsUnderTest) -> None:
    outcome = await settings.create("max_stores", "1000", "integer", category="system", default=5)
    assert outcome.type == "reeve.setting.created.v1"
    assert outcome.subject == "setting/max_stores"
    assert outcome.causationid == settings.sent[0].id
    assert (outcome.actorid, outcome.actortype, outcome.correlationid) == (ADMIN, "admin", "request-0001")
    assert outcome.data["status"] == 201
    result = outcome.data["result"]
    assert result.pop("updated_at").endswith("Z")
    assert result == {
        "key": "max_stores", "value": 1000, "value_type": "integer", "category": "system", "config_type": "setting",
        "description": "", "json_schema": None, "default_value": 5, "is_public": False, "is_encrypted": False,
        "is_sensitive": False, "allow_override": False, "requires_approval": False, "version": 1, "updated_by": ADMIN,
    }  # fmt: skip


async def test_a_write_leaves_its_outcome_in_the_outbox(settings: SettingsUnderTest) -> None:
    outcome = await settings.create("theme", "dark")
    [told] = await settings.announced()
    assert told["id"] == outcome.id
    assert told["data"] == outcome.data
    assert told["data"]["changes"]["value"] == {"new": "dark"}
    assert told["data"]["origin"]["ip_address"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0, "integer"), (False, "boolean"), ("", "string"), (0.0, "number"), (None, "json"), ([], "string_list")],
)
async def test_falsy_values_are_values(settings: SettingsUnderTest, value: object, kind: str) -> None:
    outcome = await settings.create("falsy", value, kind, default=ABSENT_DEFAULT[kind])
    assert outcome.data["result"]["value"] == value


ABSENT_DEFAULT: dict[str, object] = {
    "integer": 7, "boolean": True, "string": "x", "number": 1.5, "json": {"a": 1}, "string_list": ["a"],
}  # fmt: skip


async def test_without_a_value_the_default_is_the_value(settings: SettingsUnderTest) -> None:
    outcome = await settings.create("days", value_type="integer", default="30")
    assert (outcome.data["result"]["value"], outcome.data["result"]["default_value"]) == (30, 30)


async def test_without_value_and_default_a_setting_is_refused(settings: SettingsUnderTest) -> None:
    assert await refusal(settings.create("days", value_type="integer")) == (422, "invalid_value")


async def test_a_key_is_taken_once(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    assert await refusal(settings.create("theme", "light")) == (409, "setting_exists")


async def test_reserved_keys_are_refused(settings: SettingsUnderTest) -> None:
    assert await refusal(settings.create("categories", "x")) == (422, "reserved_key")


async def test_a_change_makes_the_next_version(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    outcome = await settings.change("theme", "light", version=1, reason="spring")
    assert outcome.type == "reeve.setting.changed.v1"
    assert outcome.data["changes"] == {"value": {"old": "dark", "new": "light"}}
    assert (outcome.data["version"], outcome.data["result"]["version"], outcome.data["reason"]) == (2, 2, "spring")


async def test_another_version_than_expected_is_refused(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    with pytest.raises(PreconditionFailed) as caught:
        await settings.change("theme", "light", version=2)
    assert (caught.value.code, caught.value.extra) == ("version_conflict", {"current_version": 1})
    assert len(await settings.announced()) == 1


@pytest.mark.parametrize("write", ["change", "define", "delete", "roll_back"])
async def test_what_is_not_there_cannot_be_written(settings: SettingsUnderTest, write: str) -> None:
    arguments = {"change": ("gone", 1), "define": ("gone",), "delete": ("gone",), "roll_back": ("gone", 1)}[write]
    assert await refusal(getattr(settings, write)(*arguments)) == (404, "setting_not_found")


@pytest.mark.parametrize("write", ["define", "delete", "roll_back", "upsert"])
async def test_every_write_checks_the_version(settings: SettingsUnderTest, write: str) -> None:
    await settings.create("theme", "dark")
    arguments = {"define": ("theme",), "delete": ("theme",), "roll_back": ("theme", 1), "upsert": ("theme", "x")}[write]
    assert await refusal(getattr(settings, write)(*arguments, version=9)) == (412, "version_conflict")


async def test_a_value_that_does_not_fit_changes_nothing(settings: SettingsUnderTest) -> None:
    await settings.create("days", 30, "integer")
    assert await refusal(settings.change("days", "many")) == (422, "invalid_value")
    assert await settings.rows("SELECT value::text, version FROM settings") == [("30", 1)]
    assert len(await settings.rows("SELECT FROM setting_history")) == 1


async def test_numbers_are_kept_exactly(settings: SettingsUnderTest) -> None:
    for value in (0.1, 1e22, 123456.789, -0.0, 9007199254740993, 5e-324):
        outcome = await settings.upsert("ratio", value, "number")
        assert repr(outcome.data["result"]["value"]) == repr(value)


async def test_a_number_that_would_be_rounded_is_refused(settings: SettingsUnderTest) -> None:
    assert await refusal(settings.create("ratio", "0.12345678901234567890", "number")) == (422, "invalid_value")


async def test_the_size_of_a_value_is_limited(settings: SettingsUnderTest) -> None:
    await settings.create("text", "x" * 19_998)
    assert await refusal(settings.change("text", "x" * 19_999)) == (422, "invalid_value")
    assert await refusal(settings.change("text", "\N{EURO SIGN}" * 6_667)) == (422, "invalid_value")


async def test_a_definition_changes_without_the_value(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    outcome = await settings.define("theme", category="design", is_public=True, default="dark")
    assert outcome.type == "reeve.setting.defined.v1"
    assert outcome.data["changes"] == {
        "category": {"old": "general", "new": "design"}, "is_public": {"old": False, "new": True},
        "default_value": {"new": "dark"},
    }  # fmt: skip
    assert outcome.data["result"]["value"] == "dark"
    assert outcome.data["result"]["version"] == 2


async def test_another_type_takes_the_value_along_where_it_fits(settings: SettingsUnderTest) -> None:
    await settings.create("days", "30")
    outcome = await settings.define("days", value_type="integer")
    assert outcome.data["result"]["value"] == 30
    assert outcome.data["changes"]["value"] == {"old": "30", "new": 30}
    assert await refusal(settings.define("days", value_type="boolean")) == (422, "invalid_value")


async def test_default_and_schema_can_be_cleared(settings: SettingsUnderTest) -> None:
    await settings.create("days", 3, "integer", default=1, json_schema={"minimum": 1})
    outcome = await settings.define("days", clear=("default_value", "json_schema"))
    assert (outcome.data["result"]["default_value"], outcome.data["result"]["json_schema"]) == (None, None)
    await settings.change("days", 0)


async def test_a_schema_holds_for_value_default_and_change(settings: SettingsUnderTest) -> None:
    schema = {"type": "integer", "minimum": 1, "maximum": 90}
    assert await refusal(settings.create("days", 0, "integer", json_schema=schema)) == (422, "invalid_value")
    assert await refusal(settings.create("days", 1, "integer", json_schema=schema, default=91)) == (
        422,
        "invalid_value",
    )
    await settings.create("days", 1, "integer", json_schema=schema)
    assert await refusal(settings.change("days", 91)) == (422, "invalid_value")
    assert await refusal(settings.define("days", json_schema={"minimum": 2})) == (422, "invalid_value")


@pytest.mark.parametrize(
    "schema", [{"$ref": "https://example.com/x"}, {"type": "nothing"}, {"pattern": "(?=a)"}, {"minimum": "1"}]
)
async def test_a_schema_outside_the_subset_is_refused(settings: SettingsUnderTest, schema: dict[str, object]) -> None:
    assert await refusal(settings.create("days", "x", json_schema=schema)) == (422, "invalid_json_schema")


async def test_public_and_hidden_exclude_each_other(settings: SettingsUnderTest) -> None:
    assert await refusal(settings.create("x", "y", is_public=True, is_encrypted=True)) == (422, "invalid_definition")
    assert await refusal(settings.create("x", "y", is_public=True, is_sensitive=True)) == (422, "invalid_definition")
    await settings.create("x", "y", is_sensitive=True)
    assert await refusal(settings.define("x", is_public=True)) == (422, "invalid_definition")


async def test_an_upsert_creates_and_then_replaces(settings: SettingsUnderTest) -> None:
    first = await settings.upsert("theme", "dark", category="design")
    assert (first.type, first.data["status"]) == ("reeve.setting.created.v1", 201)
    second = await settings.upsert("theme", "light", version=1)
    assert (second.type, second.data["status"]) == ("reeve.setting.changed.v1", 200)
    assert second.data["changes"] == {
        "value": {"old": "dark", "new": "light"}, "category": {"old": "design", "new": "general"},
    }  # fmt: skip


async def test_an_upsert_of_a_version_does_not_create(settings: SettingsUnderTest) -> None:
    assert await refusal(settings.upsert("theme", "dark", version=1)) == (412, "version_conflict")


async def test_an_upsert_without_a_value_keeps_it(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    assert (await settings.upsert("theme", description="How it looks")).data["result"]["value"] == "dark"


async def test_a_deleted_setting_is_gone_and_its_history_stays(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    outcome = await settings.delete("theme", version=1)
    assert (outcome.type, outcome.data["status"], outcome.data.get("result")) == ("reeve.setting.deleted.v1", 204, None)
    assert outcome.data["changes"] == {"value": {"old": "dark"}}
    assert not await settings.rows("SELECT FROM settings")
    assert [row["step"] for row in await settings.rows("SELECT step FROM setting_history ORDER BY version")] == [
        "created",
        "deleted",
    ]


async def test_a_key_created_anew_never_repeats_a_version(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    await settings.delete("theme")
    assert (await settings.create("theme", "light")).data["version"] == 3
    assert await refusal(settings.change("theme", "x", version=1)) == (412, "version_conflict")


async def test_a_rollback_is_a_new_version(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    await settings.change("theme", "light")
    outcome = await settings.roll_back("theme", 1)
    assert outcome.type == "reeve.setting.rolled_back.v1"
    assert (outcome.data["version"], outcome.data["restored_version"], outcome.data["result"]["value"]) == (
        3,
        1,
        "dark",
    )
    assert outcome.data["changes"] == {"value": {"old": "light", "new": "dark"}}


async def test_a_version_that_never_was_cannot_come_back(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    assert await refusal(settings.roll_back("theme", 7)) == (404, "version_not_found")


async def test_a_rollback_must_fit_the_definition_of_today(settings: SettingsUnderTest) -> None:
    await settings.create("days", "many")
    await settings.change("days", "30")
    await settings.define("days", value_type="integer")
    assert await refusal(settings.roll_back("days", 1)) == (422, "invalid_value")
    assert (await settings.roll_back("days", 2)).data["result"]["value"] == 30


async def test_history_cannot_be_rewritten_by_the_service(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    for statement in (
        "UPDATE setting_history SET value = '1'",
        "DELETE FROM setting_history",
        "TRUNCATE setting_history",
    ):
        with pytest.raises(Exception, match="permission denied"):
            async with settings.database.transaction() as session:
                await session.exec_driver_sql(statement)


async def refusal(write: object) -> tuple[int, str]:
    """Status and code of the refusal of a write."""
    with pytest.raises((Conflict, Invalid, NotFound, PreconditionFailed)) as caught:
        await write  # type: ignore[misc]
    error: ReeveError = caught.value
    return error.status, error.code
