"""What a thief of the database reads of sessions opens nothing, wherever it is presented."""

import base64

import pytest

from services.gateway.access.browser_cookies import SESSION_COOKIE
from tests.integration.gateway.access.browser import BrowserAtDoor
from tests.integration.gateway.access.door import Door


def spellings(value: object) -> set[str]:
    """How somebody would write down what a column holds."""
    if not isinstance(value, bytes):
        return {str(value), str(value).replace("-", "")}
    url = base64.urlsafe_b64encode(value).decode()
    return {value.hex(), url, url.rstrip("="), base64.b64encode(value).decode()}


@pytest.mark.parametrize("table", ["sessions", "refresh_tokens", "users"])
async def test_no_stored_value_is_a_cookie_a_bearer_or_a_refresh_token(door: Door, table: str) -> None:
    await BrowserAtDoor(door).sign_in()
    tokens = await door.sign_in()
    rows = await door.run_sql(f"SELECT * FROM {table}")
    assert rows
    tried = {text for row in rows for value in row for text in spellings(value) if text.isascii() and text.strip()}
    assert tokens["refresh_token"] not in tried
    assert tokens["access_token"] not in tried
    for text in sorted(tried):
        cookie = await door.call("GET", "/auth/me", headers={"Cookie": f"{SESSION_COOKIE}={text}"})
        bearer = await door.call("GET", "/auth/me", token=text)
        refresh = await door.call("POST", "/auth/refresh", json={"refresh_token": text})
        assert {cookie.status_code, bearer.status_code, refresh.status_code} == {401}, text
    # What was tried ended nothing: a wrong refresh token is not one that was used twice.
    assert (await door.call("GET", "/auth/me", token=tokens["access_token"])).status_code == 200
    answer = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 200
