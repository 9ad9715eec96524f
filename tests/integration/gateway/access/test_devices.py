"""A sign-in from where nobody signed in before leaves an event of its own."""

from tests.integration.gateway.access.door import PASSWORD, SUPER_ADMIN, Door

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0"


async def sign_in_with(door: Door, agent: str, email: str = SUPER_ADMIN) -> None:
    answer = await door.call(
        "POST", "/auth/login", json={"email": email, "password": PASSWORD}, headers={"User-Agent": agent}
    )
    assert answer.status_code == 200


async def test_the_first_device_is_no_news_the_second_is_and_once_only(door: Door) -> None:
    await sign_in_with(door, FIREFOX.format(v=130))
    assert await door.events("reeve.device.first_seen.v1") == []
    await sign_in_with(door, FIREFOX.format(v=131))
    assert await door.events("reeve.device.first_seen.v1") == []
    for _ in range(2):
        await sign_in_with(door, "curl/8.0")
    (event,) = await door.events("reeve.device.first_seen.v1")
    started = (await door.events("reeve.session.started.v1"))[2]
    assert event.data["session_id"] == started.data["session_id"]
    assert (event.data["address_prefix"], event.data["device"]) == ("203.0.113.0/24", "curl")
    assert (event.subject, event.severity) == (f"user/{event.data['user_id']}", "warning")


async def test_one_persons_device_is_news_for_another(door: Door) -> None:
    await door.make_user(role="viewer", email="viewer@example.com")
    await sign_in_with(door, "first/1", "viewer@example.com")
    await sign_in_with(door, "curl/8.0")
    assert len(await door.events("reeve.device.first_seen.v1")) == 1  # After the door's own way in, of the super admin.
    await sign_in_with(door, "curl/8.0", "viewer@example.com")
    assert len(await door.events("reeve.device.first_seen.v1")) == 2


async def test_a_refused_sign_in_makes_no_device_known(door: Door) -> None:
    await sign_in_with(door, "first/1")
    await door.call(
        "POST", "/auth/login", json={"email": SUPER_ADMIN, "password": "guess"}, headers={"User-Agent": "curl/8.0"}
    )
    assert await door.events("reeve.device.first_seen.v1") == []
    await sign_in_with(door, "curl/8.0")
    assert len(await door.events("reeve.device.first_seen.v1")) == 1


async def test_sessions_from_before_devices_were_noted_are_no_history(door: Door) -> None:
    await sign_in_with(door, "first/1")
    await door.run_sql("UPDATE sessions SET device_hash = NULL")
    await sign_in_with(door, "curl/8.0")
    assert await door.events("reeve.device.first_seen.v1") == []
