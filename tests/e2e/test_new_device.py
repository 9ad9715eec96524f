"""A sign-in from a program that an account was never used with becomes a notification for whose account it is, alone."""

import httpx

from libs.common.ids import new_id
from tests.demo.administrator import ADMIN, Administrator
from tests.e2e.steps import LIVE_SECONDS, entries
from tests.support.eventually import eventually


async def test_a_new_device_is_told_of(admin: Administrator, http: httpx.AsyncClient) -> None:
    email, password = f"d-{new_id()[-8:]}@example.com", f"Quite-{new_id()}-long"
    body = {"email": email, "name": "D", "role": "viewer", "password": password}
    user = (await admin.call("POST", "/users", json=body)).json()
    for agent in ("Firefox on Linux", "Unheard-of on Plan 9", "Unheard-of on Plan 9"):
        answer = await http.post(
            f"{ADMIN}/auth/login", json={"email": email, "password": password}, headers={"user-agent": agent}
        )
        assert answer.status_code == 200

    owner = Administrator(http, answer.json()["access_token"])

    async def told() -> list[dict[str, object]]:
        return [one async for one in owner.pages("/notifications", "notifications", type="account_notice")]

    notifications = await eventually(told, within_seconds=LIVE_SECONDS)
    assert isinstance(notifications, list)
    (notification,) = notifications
    assert (notification["title"], notification["priority"]) == ("Sign-in from a new device", "high")
    assert notification["recipient_user_id"] == user["id"]
    assert notification["notification_metadata"]["device"] == "Unheard-of on Plan"
    assert [one async for one in admin.pages("/notifications", "notifications", type="account_notice")] == []
    (entry,) = await entries(admin, 1, action="sign_in_from_new_device", target_id=user["id"])
    assert entry["severity"] == "warning"
