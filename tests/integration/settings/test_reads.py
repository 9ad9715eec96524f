"""What the service answers the gateway, through its real application."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from libs.common.assertions import HEADER, AssertionMinter
from libs.common.broker.embedded import EmbeddedTransport
from libs.common.events.settings import SettingResponse
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.keys import load_or_create_ed25519
from services.settings.app import build
from services.settings.config import Config
from tests.integration.settings.conftest import ABSENT, ADMIN, SettingsUnderTest

SETTINGS = "/internal/settings"


class Gateway:
    """Reads from the application with an assertion, as the gateway does."""

    def __init__(self, client: httpx.AsyncClient, minter: AssertionMinter) -> None:
        self._client = client
        self._minter = minter

    async def get(
        self,
        path: str = "",
        *,
        permission: str = "settings:read",
        if_none_match: str | None = None,
        **query: Any,
    ) -> httpx.Response:
        """GET below `/internal/settings`."""
        target = f"{SETTINGS}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        token = self._minter.mint(CALLER, audience="settings", permission=permission, method="GET", target=target)
        headers = {HEADER: token} | ({"if-none-match": if_none_match} if if_none_match else {})
        return await self._client.get(target, headers=headers)


ACTOR = Actor(ADMIN, ActorType.ADMIN, "ada@example.com", "viewer", Level.READ, frozenset({"settings:read"}))
CALLER = Caller(ACTOR, Origin(), "request-0001")


@pytest.fixture
async def gateway(settings: SettingsUnderTest, tmp_path: Path) -> AsyncIterator[Gateway]:
    """The application on the same database as the handlers."""
    config = Config(keys_dir=tmp_path)
    minter = AssertionMinter(load_or_create_ed25519(tmp_path / "gateway.key"))
    service = build(config, database=settings.database, transport=EmbeddedTransport())
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://settings") as client:
        yield Gateway(client, minter)


async def test_a_setting_reads_as_its_write_was_answered(settings: SettingsUnderTest, gateway: Gateway) -> None:
    written = (await settings.create("theme", {"a": [1, 2.5, None]}, "json", default={})).data["result"]
    answer = await gateway.get("/theme")
    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    assert answer.json() == written
    SettingResponse.model_validate(answer.json())


async def test_a_number_reads_with_every_digit(settings: SettingsUnderTest, gateway: Gateway) -> None:
    await settings.create("big", "9007199254740993", "number")
    await settings.create("small", 1e-7, "number")
    assert b'"value":9007199254740993,' in (await gateway.get("/big")).content
    assert b'"value":1e-07,' in (await gateway.get("/small")).content


async def test_a_known_version_is_not_sent_again(settings: SettingsUnderTest, gateway: Gateway) -> None:
    await settings.create("theme", "dark")
    for known in ('"1"', 'W/"1"', '"7", "1"', "*"):
        answer = await gateway.get("/theme", if_none_match=known)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')
    await settings.change("theme", "light")
    assert (await gateway.get("/theme", if_none_match='"1"')).status_code == 200


@pytest.mark.parametrize("path", ["/gone", "/gone/history"])
async def test_what_is_not_there_is_404(gateway: Gateway, path: str) -> None:
    answer = await gateway.get(path)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (404, "setting_not_found")


@pytest.mark.parametrize("path", ["/Bad", "/a%00b", "/..%2Fx", "/" + "a" * 256])
async def test_a_malformed_key_is_refused(gateway: Gateway, path: str) -> None:
    assert (await gateway.get(path)).status_code in {400, 404, 422}


async def test_a_secret_is_masked_everywhere(settings: SettingsUnderTest, gateway: Gateway) -> None:
    secret = "sk_live_0123456789abcdefghijklmnop_4242"
    await settings.create("stripe_key", secret, "secret")
    await settings.change("stripe_key", "short")
    for path in ("", "/stripe_key", "/stripe_key/history", "/categories"):
        assert secret not in (await gateway.get(path)).text
    assert (await gateway.get("/stripe_key")).json()["value"] == {"is_set": True, "hint": None}
    history = (await gateway.get("/stripe_key/history")).json()["history"]
    assert [one["value"] for one in history] == [
        {"is_set": True, "hint": None},
        {"is_set": True, "hint": "...4242"},
    ]


async def test_the_list_filters(settings: SettingsUnderTest, gateway: Gateway) -> None:
    await settings.create("alpha", "x", category="one", is_public=True, description="100% sure")
    await settings.create("beta_1", "x", category="one", config_type="feature_flag")
    await settings.create("betax1", ABSENT, "secret", category="two", description="Alphabet")
    for query, keys in (
        ({}, ["alpha", "beta_1", "betax1"]),
        ({"category": "one"}, ["alpha", "beta_1"]),
        ({"config_type": "feature_flag"}, ["beta_1"]),
        ({"is_public": "true"}, ["alpha"]),
        ({"is_public": "false", "category": "one"}, ["beta_1"]),
        ({"q": "ALPHA"}, ["alpha", "betax1"]),
        ({"q": "beta_"}, ["beta_1"]),
        ({"q": "%"}, ["alpha"]),
        ({"q": "\\"}, []),
        ({"q": "x", "category": "nothing"}, []),
    ):
        answer = (await gateway.get(**query)).json()
        assert [one["key"] for one in answer["settings"]] == keys, query
        assert (answer["total"], answer["total_is_exact"]) == (len(keys), True)


@pytest.mark.parametrize(
    "query",
    [{"q": ""}, {"config_type": "other"}, {"is_public": "perhaps"}, {"limit": 0},
     {"limit": 201}, {"skip": -1}, {"skip": 10_001}, {"cursor": "x"}, {"other": "x"}],
)  # fmt: skip
async def test_a_wrong_query_is_422(gateway: Gateway, query: dict[str, Any]) -> None:
    assert (await gateway.get(**query)).status_code == 422


@pytest.mark.parametrize("name", ["q", "category"])
async def test_a_query_with_nul_is_a_bad_request(gateway: Gateway, name: str) -> None:
    assert (await gateway.get(**{name: "a\0"})).status_code == 400


async def test_cursors_and_skips_page_through_all(settings: SettingsUnderTest, gateway: Gateway) -> None:
    keys = sorted(f"key{number}" for number in range(7))
    for key in keys:
        await settings.create(key, "x")
    by_cursor: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        answer = (await gateway.get(**query)).json()
        assert answer["total"] == 7
        by_cursor += [one["key"] for one in answer["settings"]]
        if answer["next_cursor"] is None:
            break
        query["cursor"] = answer["next_cursor"]
    by_skip = [one["key"] for skip in (0, 3, 6) for one in (await gateway.get(limit=3, skip=skip)).json()["settings"]]
    assert by_cursor == by_skip == keys
    beyond = (await gateway.get(skip=50)).json()
    assert (beyond["settings"], beyond["total"], beyond["next_cursor"]) == ([], 7, None)


async def test_a_cursor_belongs_to_its_list(settings: SettingsUnderTest, gateway: Gateway) -> None:
    for number in range(3):
        await settings.create(f"key{number}", "x")
        await settings.change("key0", f"y{number}")
    cursor = (await gateway.get(limit=1)).json()["next_cursor"]
    for path, query in (("", {"q": "key"}), ("/key0/history", {})):
        answer = await gateway.get(path, cursor=cursor, **query)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "invalid_cursor")


async def test_history_tells_who_when_why(settings: SettingsUnderTest, gateway: Gateway) -> None:
    await settings.create("theme", "dark")
    await settings.change("theme", "light", reason="spring")
    await settings.roll_back("theme", 1)
    answer = (await gateway.get("/theme/history", limit=2)).json()
    assert [(one["version"], one["value"], one["step"]) for one in answer["history"]] == [
        (3, "dark", "rolled_back"),
        (2, "light", "changed"),
    ]
    assert answer["history"][1]["reason"] == "spring"
    assert answer["history"][1]["changed_by"] == ADMIN
    assert answer["history"][1]["operation_id"] == settings.sent[1].id
    assert answer["total"] == 3
    rest = (await gateway.get("/theme/history", limit=2, cursor=answer["next_cursor"])).json()
    assert ([one["version"] for one in rest["history"]], rest["next_cursor"]) == ([1], None)


async def test_a_deleted_setting_has_no_history_to_read(settings: SettingsUnderTest, gateway: Gateway) -> None:
    await settings.create("theme", "dark")
    await settings.delete("theme")
    assert (await gateway.get("/theme/history")).status_code == 404
    await settings.create("theme", "light")
    values = [one["value"] for one in (await gateway.get("/theme/history")).json()["history"]]
    assert values == ["light", None, "dark"]


async def test_categories_are_counted(settings: SettingsUnderTest, gateway: Gateway) -> None:
    for key, category in (("a", "one"), ("b", "two"), ("c", "one")):
        await settings.create(key, "x", category=category)
    answer = (await gateway.get("/categories")).json()
    assert answer["categories"] == [{"category": "one", "count": 2}, {"category": "two", "count": 1}]


async def test_the_public_settings_are_public_settings_only(settings: SettingsUnderTest, gateway: Gateway) -> None:
    await settings.create("maintenance_mode", False, "boolean", is_public=True)
    await settings.create("margin", 17, "integer")
    answer = await gateway.get("/public", permission="public")
    assert answer.headers["cache-control"] == "public, max-age=10"
    [one] = answer.json()["settings"]
    assert one.pop("updated_at").endswith("Z")
    assert one == {
        "key": "maintenance_mode", "value": False, "value_type": "boolean", "category": "general", "description": "",
        "version": 1,
    }  # fmt: skip
    etag = answer.headers["etag"]
    assert (await gateway.get("/public", permission="public", if_none_match=etag)).status_code == 304
    await settings.change("maintenance_mode", True)
    assert (await gateway.get("/public", permission="public", if_none_match=etag)).status_code == 200


async def test_a_sensitive_value_is_shown_to_who_may_read(settings: SettingsUnderTest, gateway: Gateway) -> None:
    await settings.create("margin", 17, "integer", is_sensitive=True)
    assert (await gateway.get("/margin")).json()["value"] == 17


@pytest.mark.parametrize("path", ["", "/theme", "/theme/history", "/categories", "/public"])
async def test_nobody_reads_without_the_right_assertion(gateway: Gateway, path: str) -> None:
    assert (await gateway._client.get(f"{SETTINGS}{path}")).status_code == 401
    assert (await gateway.get(path, permission="users:read")).status_code == 401


async def test_the_service_is_ready(gateway: Gateway) -> None:
    answer = await gateway._client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]) == (
        200,
        {"database": "ok", "broker": "ok", "migrations": "ok"},
    )
