"""Secrets: written, kept, gone back to and destroyed without ever being shown."""

import base64
import secrets as randomness

import orjson
import pytest

from libs.common.errors import ReeveError
from libs.common.events.settings import ChangeSetting
from libs.common.sealing import seal
from services.settings.secrets.vault import Slot
from services.settings.store import secrets as stored_secrets
from tests.integration.settings.conftest import ABSENT, SettingsUnderTest
from tests.integration.settings.test_writes import refusal

LONG = "sk_live_0123456789abcdefghijklmnop_4242"


async def test_a_secret_reads_as_its_mask(settings: SettingsUnderTest) -> None:
    result = (await settings.create("stripe_key", LONG, "secret")).data["result"]
    assert result["value"] == {"is_set": True, "hint": "...4242"}
    assert (result["is_encrypted"], result["default_value"]) == (True, None)


async def test_a_short_secret_shows_nothing_of_itself(settings: SettingsUnderTest) -> None:
    result = (await settings.create("pin", "x" * 31, "secret")).data["result"]
    assert result["value"] == {"is_set": True, "hint": None}


async def test_a_secret_may_wait_for_its_value(settings: SettingsUnderTest) -> None:
    first = await settings.create("stripe_key", ABSENT, "secret")
    assert first.data["result"]["value"] == {"is_set": False, "hint": None}
    assert "value" not in first.data["changes"]
    second = await settings.change("stripe_key", LONG)
    assert second.data["changes"]["value"] == {"new": "[redacted]"}
    third = await settings.change("stripe_key", LONG + "x")
    assert third.data["changes"]["value"] == {"old": "[redacted]", "new": "[redacted]"}


@pytest.mark.parametrize("mask", [{"is_set": True, "hint": "...4242"}, "...4242", "[redacted]", ""])
async def test_a_mask_never_overwrites_the_secret(settings: SettingsUnderTest, mask: object) -> None:
    await settings.create("stripe_key", LONG, "secret")
    assert await refusal(settings.change("stripe_key", mask)) == (422, "invalid_value")
    assert await opened(settings, "stripe_key", 1) == LONG


async def test_any_type_can_be_encrypted(settings: SettingsUnderTest) -> None:
    outcome = await settings.create("login", {"user": "a", "password": "b"}, "json", is_encrypted=True)
    assert outcome.data["result"]["value"] == {"is_set": True, "hint": None}
    assert await refusal(settings.change("login", {"is_set": True, "hint": None})) == (422, "invalid_value")


async def test_encryption_is_settled_at_creation(settings: SettingsUnderTest) -> None:
    await settings.create("plain", "x")
    await settings.create("stripe_key", LONG, "secret")
    for change in (
        settings.define("plain", value_type="secret"),
        settings.define("plain", is_encrypted=True),
        settings.upsert("stripe_key", "x", "string"),
    ):
        assert await refusal(change) == (409, "encryption_fixed")
    assert await refusal(settings.define("stripe_key", is_public=True)) == (422, "invalid_definition")
    assert await refusal(settings.create("other", "x", "secret", default="y")) == (422, "invalid_definition")


async def test_a_definition_changes_around_its_secret(settings: SettingsUnderTest) -> None:
    await settings.create("stripe_key", LONG, "secret")
    outcome = await settings.define("stripe_key", description="Stripe's", json_schema={"minLength": 10})
    assert outcome.data["result"]["value"] == {"is_set": True, "hint": "...4242"}
    assert "value" not in outcome.data["changes"]
    assert await refusal(settings.define("stripe_key", json_schema={"minLength": 99})) == (422, "invalid_value")
    assert await refusal(settings.change("stripe_key", "short")) == (422, "invalid_value")


async def test_a_secret_can_come_back(settings: SettingsUnderTest) -> None:
    await settings.create("stripe_key", LONG, "secret")
    await settings.change("stripe_key", "another")
    outcome = await settings.roll_back("stripe_key", 1)
    assert outcome.data["result"]["value"]["hint"] == "...4242"
    assert outcome.data["changes"]["value"] == {"old": "[redacted]", "new": "[redacted]"}
    assert await opened(settings, "stripe_key", 3) == LONG


async def test_only_the_last_ten_versions_are_kept(settings: SettingsUnderTest) -> None:
    await settings.create("stripe_key", "number 1", "secret")
    for number in range(2, 15):
        await settings.change("stripe_key", f"number {number}")
    versions = [row["version"] for row in await settings.rows("SELECT version FROM setting_secrets ORDER BY version")]
    assert versions == list(range(5, 15))
    assert await refusal(settings.roll_back("stripe_key", 4)) == (404, "version_not_found")


async def test_deleting_destroys_the_secrets(settings: SettingsUnderTest) -> None:
    await settings.create("stripe_key", LONG, "secret")
    outcome = await settings.delete("stripe_key")
    assert outcome.data["changes"]["value"] == {"old": "[redacted]"}
    assert not await settings.rows("SELECT FROM setting_secrets")
    await settings.create("stripe_key", ABSENT, "secret")
    assert await refusal(settings.roll_back("stripe_key", 1)) == (404, "version_not_found")


async def test_a_secret_moved_to_another_setting_does_not_open(settings: SettingsUnderTest) -> None:
    await settings.create("stripe_key", LONG, "secret")
    await settings.create("thief", "x", "secret")
    await settings.rows(
        "UPDATE setting_secrets t SET dek_id = gen_random_uuid(), wrapped_dek = s.wrapped_dek, nonce = s.nonce,"
        " wrap_nonce = s.wrap_nonce, ciphertext = s.ciphertext FROM setting_secrets s"
        " WHERE t.key = 'thief' AND s.key = 'stripe_key'"
    )
    with pytest.raises(ReeveError) as caught:
        await settings.roll_back("thief", 1)
    assert (caught.value.status, caught.value.code) == (500, "secret_unreadable")


async def test_what_is_sealed_to_another_key_is_refused(settings: SettingsUnderTest) -> None:
    await settings.create("theme", "dark")
    for sealed in (seal(randomness.token_bytes(32), b'"light"'), "not base64!", ""):
        assert await refusal(settings.send(ChangeSetting(key="theme", sealed_value=sealed))) == (
            422,
            "value_not_sealed",
        )
    for plain in (b"", b"{", b"\xff", b"NaN", b'{"a":1,"a":2}'):
        sealed = seal(settings.keys.unsealer.public_key, plain)
        assert await refusal(settings.send(ChangeSetting(key="theme", sealed_value=sealed))) == (422, "invalid_value")


async def test_a_sensitive_value_is_masked_in_events(settings: SettingsUnderTest) -> None:
    await settings.create("margin", 17.25, "number", is_sensitive=True, default=11.75)
    await settings.change("margin", 18.25)
    await settings.define("margin", is_sensitive=False)
    told = orjson.dumps(await settings.announced()).decode()
    assert "17.25" not in told
    created, changed, shown = await settings.announced()
    assert created["data"]["result"]["value"] == created["data"]["result"]["default_value"] == "[redacted]"
    assert changed["data"]["changes"]["value"] == {"old": "[redacted]", "new": "[redacted]"}
    assert shown["data"]["result"]["value"] == 18.25


async def test_a_secret_is_in_no_table_event_log_or_error(
    settings: SettingsUnderTest, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    canaries = [f"canary-{randomness.token_hex(20)}" for _ in range(5)]
    errors = []
    await settings.create("one", canaries[0], "secret")
    await settings.create("two", {"password": canaries[1]}, "json", is_encrypted=True)
    await settings.upsert("three", canaries[2], "secret")
    await settings.change("one", canaries[3], reason="rotation")
    await settings.roll_back("one", 1)
    for refused in (
        settings.change("one", [canaries[4]]),
        settings.change("missing", canaries[4]),
        settings.create("one", canaries[4], "secret"),
        settings.create("four", canaries[4], "integer"),
        settings.create("four", canaries[4], "secret", json_schema={"maxLength": 3}),
        settings.create("four", canaries[4], "secret", json_schema={"enum": ["x"]}),
        settings.change("one", canaries[4], version=99),
        settings.change("one", canaries[4] * 1000),
    ):
        with pytest.raises(ReeveError) as caught:
            await refused
        errors.append(repr(caught.value) + str(caught.value.detail()))
    await settings.delete("three")
    seen = await everything(settings)
    seen += "".join(errors) + "".join(capfd.readouterr()) + caplog.text
    seen += repr([command.data for command in settings.sent])
    for canary in canaries:
        for form in forms(canary):
            assert form.lower() not in seen.lower()


def forms(canary: str) -> list[str]:
    """The ways in which a text may lie about: itself, hexadecimal, and base64 at each alignment."""
    raw = canary.encode()
    aligned = [base64.b64encode(b"\0" * shift + raw).decode()[4:-4] for shift in range(3)]
    return [canary, raw.hex(), *aligned]


async def everything(settings: SettingsUnderTest) -> str:
    """Every row of every table, bytes both as text and in hexadecimal."""
    tables = await settings.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'settings'")
    found: list[str] = []
    for table in tables:
        for row in await settings.rows(f"SELECT * FROM {table['tablename']}"):
            found.extend(
                value.decode("latin-1") + value.hex() if isinstance(value, bytes) else str(value) for value in row
            )
    assert len(found) > 100
    return "\n".join(found)


async def opened(settings: SettingsUnderTest, key: str, version: int) -> object:
    """The secret as the vault opens it."""
    slot = Slot(key, version)
    async with settings.database.reading() as session:
        record = await stored_secrets.find(session, slot)
    assert record is not None
    return orjson.loads(settings.keys.vault.decrypt(record, slot))
