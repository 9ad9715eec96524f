"""What people are told of their own accounts: by whom, from where, how often, and who is told nothing."""

import asyncio
from typing import Any

import pyotp
import pytest

from libs.common.events.deliveries import MOST_LINES, NoticeMail
from services.gateway.features.notices.commands import Notices
from services.gateway.features.notices.models import MOST_IN_AN_HOUR, MOST_WAITING
from tests.integration.gateway.access.door import PAGES, PASSWORD, POSTMAN, Door
from tests.support.eventually import eventually

ADA = "ada@example.com"
NETWORK = "203.0.113.0/24"
OTHER = {"user-agent": "Unheard-of/9 on Plan"}


async def ada(door: Door) -> dict[str, Any]:
    return await door.make_user(role="admin", email=ADA)


async def sign_in(door: Door, *, headers: dict[str, str] | None = None, **more: str) -> Any:
    body = {"email": ADA, "password": PASSWORD, **more}
    answer = await door.call("POST", "/auth/login", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def kinds(letters: list[NoticeMail]) -> list[list[str]]:
    return [[line.kind for line in one.lines] for one in letters]


async def test_a_new_device_is_told_of_to_whom_the_account_is(door: Door) -> None:
    made = await ada(door)
    await sign_in(door)
    assert await door.letters() == []
    await sign_in(door, headers=OTHER)
    await sign_in(door, headers=OTHER)
    (letter,) = await door.letters()
    (line,) = letter.lines
    assert (letter.address, letter.name, letter.url) == (ADA, "Somebody", f"{PAGES}/sessions")
    assert (line.kind, line.network, line.device) == ("new_device", NETWORK, "Unheard-of on Plan")
    (command,) = await door.events("reeve.command.notice.send.v1")
    assert (command.data["user_id"], command.subject) == (made["id"], f"user/{made['id']}")
    # Nothing of the person is in the clear.
    assert not any(said in str(command) for said in (ADA, "Somebody", NETWORK, "Unheard-of"))


async def test_without_a_public_url_the_letter_has_no_link(door: Door) -> None:
    await ada(door)
    await sign_in(door)
    await sign_in(door, headers=OTHER)
    assert await Notices(POSTMAN.public_key, public_url=None).tell_next(door.database)
    (letter,) = await door.letters()
    assert letter.url is None


async def test_passwords_and_second_factors_are_told_of(door: Door) -> None:
    await ada(door)
    token = (await sign_in(door))["access_token"]
    begun = (await door.call("POST", "/auth/mfa/totp", token=token)).json()
    confirmed = await door.call(
        "POST", "/auth/mfa/totp/confirm", token=token, json={"otp": pyotp.TOTP(begun["secret"]).now()}
    )
    assert confirmed.status_code == 200, confirmed.text
    recovery = confirmed.json()["recovery_codes"]
    assert kinds(await door.letters()) == [["factor_enrolled"]]
    await sign_in(door, otp=recovery[0])
    assert kinds(await door.letters())[1:] == [["recovery_code_used"]]
    step = {"password": PASSWORD, "otp": recovery[1]}
    fresh = (await door.call("POST", "/auth/step-up", token=token, json=step)).json()["access_token"]
    assert (await door.call("DELETE", "/auth/mfa/totp", token=fresh)).status_code == 204
    assert kinds(await door.letters())[2:] == [["recovery_code_used", "factor_removed"]]
    body = {"old_password": PASSWORD, "new_password": "another one of my own"}
    assert (await door.call("PUT", "/auth/password", token=fresh, json=body)).status_code == 204
    await door.forget(ADA)
    chosen = {"token": await door.last_token(), "password": "a third one of my own"}
    assert (await door.call("POST", "/auth/password/reset", json=chosen)).status_code == 204
    (last,) = (await door.letters())[3:]
    assert [line.kind for line in last.lines] == ["password_changed", "password_reset"]
    assert {line.network for one in await door.letters() for line in one.lines} == {NETWORK}
    said = "".join(one.model_dump_json() for one in await door.letters())
    assert not any(secret in said for secret in (PASSWORD, "of my own", *recovery, begun["secret"], chosen["token"]))


@pytest.mark.parametrize("how", ["one", "all", "bulk"])
async def test_sessions_that_an_administrator_ended_are_told_of_once_and_not_from_where(door: Door, how: str) -> None:
    made = await ada(door)
    await sign_in(door)
    boss = await door.token_of("super_admin")
    sessions = (await door.call("GET", f"/users/{made['id']}/sessions", token=boss)).json()["sessions"]
    for _ in range(2):
        match how:
            case "one":
                answer = await door.call("DELETE", f"/sessions/{sessions[0]['id']}", token=boss)
            case "all":
                answer = await door.call("DELETE", f"/users/{made['id']}/sessions", token=boss)
            case _:
                body = {"ids": [made["id"]], "operation": "revoke_sessions"}
                answer = await door.call("POST", "/users/bulk", token=boss, json=body)
        assert answer.status_code in (204, 207), answer.text
    (letter,) = await door.letters()
    (line,) = letter.lines
    assert (letter.address, line.kind, line.network, line.device) == (ADA, "sessions_ended", None, None)


async def test_ones_own_doing_with_ones_own_sessions_is_no_news(door: Door) -> None:
    made = await ada(door)
    first, second = await sign_in(door), await sign_in(door)
    path = f"/users/{made['id']}/sessions?spare_current=true"
    assert (await door.call("DELETE", path, token=first["access_token"])).status_code == 204
    assert (await door.call("GET", "/auth/me", token=second["access_token"])).status_code == 401
    assert await door.letters() == []


async def burst(door: Door, user_id: str, count: int) -> None:
    """So many notices at once."""
    await door.run_sql(
        "INSERT INTO notices (id, user_id, kind) SELECT gen_random_uuid(), CAST(:id AS uuid), 'sessions_ended'"
        " FROM generate_series(1, :count)",
        id=user_id, count=count,
    )  # fmt: skip


async def test_what_came_together_is_one_letter_and_beyond_its_lines_it_is_counted(door: Door) -> None:
    made = await ada(door)
    await burst(door, made["id"], MOST_LINES + 7)
    (letter,) = await door.letters()
    assert (len(letter.lines), letter.more) == (MOST_LINES, 7)
    assert await door.run_sql("SELECT 1 FROM notices WHERE told_at IS NULL OR details <> '{}'") == []


async def test_nobody_is_sent_more_than_so_many_letters_an_hour_and_nothing_is_lost(door: Door) -> None:
    made = await ada(door)
    other = await door.make_user(role="viewer", email="bob@example.com")
    for _ in range(MOST_IN_AN_HOUR + 3):
        await burst(door, made["id"], 1)
        await door.letters()
    assert len(await door.letters()) == MOST_IN_AN_HOUR
    await burst(door, other["id"], 1)
    assert [one.address for one in (await door.letters())[MOST_IN_AN_HOUR:]] == ["bob@example.com"]
    await door.run_sql("UPDATE notices SET told_at = told_at - interval '61 minutes' WHERE told_at IS NOT NULL")
    late = (await door.letters())[-1]
    assert (late.address, len(late.lines)) == (ADA, 3)


async def test_no_more_waits_for_somebody_than_so_much(door: Door) -> None:
    made = await ada(door)
    await sign_in(door)
    await burst(door, made["id"], MOST_WAITING)
    await sign_in(door, headers=OTHER)
    rows = await door.run_sql("SELECT kind FROM notices WHERE user_id = :id", id=made["id"])
    assert (len(rows), {row.kind for row in rows}) == (MOST_WAITING, {"sessions_ended"})


@pytest.mark.parametrize("how", ["status", "delete", "erase"])
async def test_whoever_is_switched_off_is_told_nothing(door: Door, how: str) -> None:
    made = await ada(door)
    await sign_in(door)
    await sign_in(door, headers=OTHER)
    boss = await door.token_of("super_admin")
    if how == "status":
        answer = await door.call("PUT", f"/users/{made['id']}/status", token=boss, json={"is_active": False})
    else:
        query = "?confirm=true&erase=true" if how == "erase" else "?confirm=true"
        answer = await door.call("DELETE", f"/users/{made['id']}{query}", token=boss)
    assert answer.status_code in (200, 204), answer.text
    assert await door.run_sql("SELECT 1 FROM notices") == []
    # Also where a notice comes late, by a way that did not know.
    await burst(door, made["id"], 1)
    assert await door.letters() == []
    assert await door.run_sql("SELECT 1 FROM notices") == []


async def test_several_gateways_tell_once(door: Door) -> None:
    made = [await door.make_user(role="viewer", email=f"v{number}@example.com") for number in range(4)]
    for one in made:
        await burst(door, one["id"], 3)
    notices = Notices(POSTMAN.public_key, public_url=PAGES)

    async def tell() -> None:
        while await notices.tell_next(door.database):
            pass

    await asyncio.gather(*(tell() for _ in range(4)))
    letters = await door.letters()
    assert sorted(one.address for one in letters) == [f"v{number}@example.com" for number in range(4)]
    assert {len(one.lines) for one in letters} == {3}


async def test_a_notice_and_what_it_tells_of_commit_together(door: Door) -> None:
    await ada(door)
    await sign_in(door)
    body = {"email": ADA, "password": "not this one either"}
    assert (await door.call("POST", "/auth/login", json=body, headers=OTHER)).status_code == 401
    assert await door.letters() == []


async def test_an_account_to_which_no_mail_can_be_made_keeps_no_other_waiting(door: Door) -> None:
    made = await ada(door)
    other = await door.make_user(role="viewer", email="bob@example.com")
    await burst(door, made["id"], 1)
    await burst(door, other["id"], 1)
    await door.run_sql("UPDATE users SET name = :name WHERE email = :email", name="two\nlines", email=ADA)
    assert [one.address for one in await door.letters()] == ["bob@example.com"]


async def test_people_are_told_by_a_loop_without_being_asked(door: Door) -> None:
    made = await ada(door)
    await burst(door, made["id"], 1)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(Notices(POSTMAN.public_key, public_url=PAGES).tell_forever(door.database))
        await eventually(lambda: door.events("reeve.command.notice.send.v1"))
        running.cancel()
