"""Links that work once: who is sent one, what it is good for, and what ends it."""

import asyncio
from typing import Any

import httpx
import pyotp
import pytest

from libs.common.events.deliveries import SendLink
from services.gateway.features.links import store as links_store
from services.gateway.features.links.models import MOST_IN_AN_HOUR, Purpose, hash_of
from services.gateway.features.passwords import store
from services.gateway.features.passwords.commands import answer_request, answer_requests_forever
from tests.integration.gateway.access.door import ISSUER, PASSWORD, Door, open_door
from tests.support.eventually import eventually

CHOSEN = "a password of my own choosing"
NOWHERE = "00000000-0000-7000-8000-000000000000"


async def activate(door: Door, token: str, password: str = CHOSEN) -> httpx.Response:
    return await door.call("POST", "/auth/activate", json={"token": token, "password": password})


async def reset(door: Door, token: str, password: str = CHOSEN) -> httpx.Response:
    return await door.call("POST", "/auth/password/reset", json={"token": token, "password": password})


async def may_sign_in(door: Door, email: str, password: str) -> bool:
    answer = await door.call("POST", "/auth/login", json={"email": email, "password": password})
    return answer.status_code == 200


async def newcomer(door: Door, email: str = "new@example.com") -> dict[str, Any]:
    """An account that awaits its activation."""
    return await door.make_user(role="viewer", email=email, password=None)


def expired(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["detail"]["error"]) == (410, "link_expired")


async def test_an_account_without_a_password_is_activated_by_its_link_and_then_signs_in(door: Door) -> None:
    made = await newcomer(door)
    assert made["awaits_activation"] is True
    (mail,) = await door.mails()
    assert (mail.address, mail.name) == ("new@example.com", "Somebody")
    assert mail.url.startswith(f"{ISSUER}/activate#token=")
    assert not await may_sign_in(door, "new@example.com", CHOSEN)

    answer = await activate(door, await door.last_token())

    assert (answer.status_code, answer.content) == (204, b"")
    assert door.watch.state["recorded"] is True
    assert (await door.sign_in("new@example.com", CHOSEN))["admin"]["awaits_activation"] is False
    (event,) = await door.events("reeve.user.activated.v1")
    assert (event.actorid, event.subject) == (made["id"], f"user/{made['id']}")
    assert event.data["changes"] == {"awaits_activation": {"old": True, "new": False}}


async def test_an_account_with_a_password_is_sent_nothing(door: Door) -> None:
    await door.make_user(role="viewer", email="v@example.com")
    assert await door.mails() == []


async def test_a_link_works_once(door: Door) -> None:
    await newcomer(door)
    token = await door.last_token()
    assert (await activate(door, token)).status_code == 204
    assert expired(await activate(door, token, "another password than that"))
    assert await may_sign_in(door, "new@example.com", CHOSEN)


async def test_of_many_at_once_exactly_one_works(door: Door) -> None:
    await newcomer(door)
    token = await door.last_token()
    # Five: each is tried afterwards, and the fifth wrong one would lock the account.
    passwords = [f"password number {number} of five" for number in range(5)]
    answers = await asyncio.gather(*(activate(door, token, password) for password in passwords))
    assert sorted(one.status_code for one in answers) == [204] + [410] * 4
    winners = [one for one, answer in zip(passwords, answers, strict=True) if answer.status_code == 204]
    assert [one for one in passwords if await may_sign_in(door, "new@example.com", one)] == winners
    assert len(await door.events("reeve.user.activated.v1")) == 1


async def test_of_many_resets_at_once_exactly_one_works(door: Door) -> None:
    await door.make_user(role="viewer", email="v@example.com")
    await door.forget("v@example.com")
    token = await door.last_token()
    answers = await asyncio.gather(*(reset(door, token, f"password number {number} of eight") for number in range(8)))
    assert sorted(one.status_code for one in answers) == [204] + [410] * 7
    assert len(await door.events("reeve.user.password_reset.v1")) == 1


async def test_a_link_that_is_too_old_works_no_more(door: Door) -> None:
    await newcomer(door)
    token = await door.last_token()
    await door.run_sql("UPDATE links SET expires_at = now() - interval '1 second'")
    assert expired(await activate(door, token))
    assert not await may_sign_in(door, "new@example.com", CHOSEN)


async def test_how_long_links_live(door: Door) -> None:
    await newcomer(door)
    await door.make_user(role="viewer", email="v@example.com")
    await door.forget("v@example.com")
    rows = await door.run_sql("SELECT purpose, extract(epoch FROM expires_at - created_at)::int AS s FROM links")
    assert {(row.purpose, row.s) for row in rows} == {("activation", 72 * 3600), ("password_reset", 3600)}
    ends = {one.data["kind"]: one.data["expires_at"] for one in await door.events(SendLink.TYPE)}
    assert len(ends) == 2


@pytest.mark.parametrize("token", ["x", "A" * 43, "é" * 20, "a b", "' OR 1=1 --", "x" * 256])
async def test_a_token_that_never_was_is_refused_like_an_old_one(door: Door, token: str) -> None:
    for path in ("/auth/activate", "/auth/password/reset"):
        assert expired(await door.call("POST", path, json={"token": token, "password": CHOSEN}))


async def test_a_link_is_good_for_its_own_purpose_alone(door: Door) -> None:
    await newcomer(door)
    activation = await door.last_token()
    await door.make_user(role="viewer", email="v@example.com")
    await door.forget("v@example.com")
    reset_token = await door.last_token()
    assert expired(await reset(door, activation))
    assert expired(await activate(door, reset_token))
    assert (await activate(door, activation)).status_code == 204
    assert (await reset(door, reset_token)).status_code == 204


async def test_a_password_that_is_refused_does_not_use_the_link_up(door: Door) -> None:
    await newcomer(door, "somebody@example.com")
    token = await door.last_token()
    for password, code in (("sh0rt", "validation_error"), ("aaaaaaaaaaaaaaa", "weak_password"),
                           ("somebody@example.com", "weak_password")):  # fmt: skip
        answer = await activate(door, token, password)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (422, code), answer.text
        assert answer.json()["detail"]["errors"][0]["loc"] == ["body", "password"]
        assert password not in answer.text
    assert (await activate(door, token)).status_code == 204


async def test_switching_off_ends_the_link_and_switching_on_again_does_not_bring_it_back(door: Door) -> None:
    made = await newcomer(door)
    token = await door.last_token()
    admin = await door.token_of("super_admin")
    for is_active in (False, True):
        answer = await door.call("PUT", f"/users/{made['id']}/status", token=admin, json={"is_active": is_active})
        assert answer.status_code == 200
        assert expired(await activate(door, token))
    again = await door.call("POST", f"/users/{made['id']}/activation-link", token=admin)
    assert again.status_code == 202
    assert (await activate(door, await door.last_token())).status_code == 204


async def test_switching_many_off_ends_their_links(door: Door) -> None:
    made = [await newcomer(door, f"new{number}@example.com") for number in range(2)]
    tokens = [one.url.partition("#token=")[2] for one in await door.mails()]
    body = {"ids": [one["id"] for one in made], "operation": "deactivate"}
    answer = await door.call("POST", "/users/bulk", token=await door.token_of("super_admin"), json=body)
    assert answer.json()["changed"] == 2
    for token in tokens:
        assert expired(await activate(door, token))


async def test_erasing_leaves_nothing_of_a_link(door: Door) -> None:
    made = await newcomer(door)
    token = await door.last_token()
    admin = await door.token_of("super_admin")
    answer = await door.call("DELETE", f"/users/{made['id']}?confirm=true&erase=true", token=admin)
    assert answer.status_code == 204
    assert expired(await activate(door, token))
    assert await door.run_sql("SELECT 1 FROM links WHERE user_id = :id", id=made["id"]) == []


async def test_another_address_ends_the_links_that_were_sent_to_the_old_one(door: Door) -> None:
    made = await newcomer(door)
    token = await door.last_token()
    admin = await door.token_of("super_admin")
    await door.call("PATCH", f"/users/{made['id']}", token=admin, json={"name": "Renamed"})
    await door.call("PATCH", f"/users/{made['id']}", token=admin, json={"email": "other@example.com"})
    assert expired(await activate(door, token))
    assert (await door.call("POST", f"/users/{made['id']}/activation-link", token=admin)).status_code == 202
    assert (await door.mails())[-1].address == "other@example.com"


async def test_sending_again_replaces_the_link_and_says_when_it_ends(door: Door) -> None:
    made = await newcomer(door)
    first = await door.last_token()
    admin = await door.token_of("admin")
    answer = await door.call("POST", f"/users/{made['id']}/activation-link", token=admin)
    assert (answer.status_code, set(answer.json())) == (202, {"user_id", "expires_at"})
    second = await door.last_token()
    assert second != first
    assert second not in answer.text
    assert expired(await activate(door, first))
    assert (await activate(door, second)).status_code == 204
    refused = await door.call("POST", f"/users/{made['id']}/activation-link", token=admin)
    assert (refused.status_code, refused.json()["detail"]["error"]) == (409, "already_activated")


async def test_sending_again_is_refused_for_nobody_for_who_is_off_and_for_whom_is_above(door: Door) -> None:
    made = await newcomer(door)
    above = await door.make_user(role="super_admin", email="above@example.com", password=None)
    admin = await door.token_of("admin")
    await door.call("PUT", f"/users/{made['id']}/status", token=admin, json={"is_active": False})
    for user_id, status, code in (
        (NOWHERE, 404, "user_not_found"), (made["id"], 409, "user_inactive"), (above["id"], 403, "insufficient_role"),
    ):  # fmt: skip
        answer = await door.call("POST", f"/users/{user_id}/activation-link", token=admin)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (status, code)


async def test_an_administrator_floods_nobodys_mailbox(door: Door) -> None:
    made = await newcomer(door)
    admin = await door.token_of("super_admin")
    answers = [await door.call("POST", f"/users/{made['id']}/activation-link", token=admin) for _ in range(4)]
    assert [one.status_code for one in answers] == [202, 202, 429, 429]
    assert answers[-1].json()["detail"]["error"] == "too_many_links"
    assert int(answers[-1].headers["retry-after"]) > 0
    assert len(await door.mails()) == MOST_IN_AN_HOUR


async def test_who_signs_in_at_a_provider_is_sent_no_link(door: Door) -> None:
    made = await newcomer(door)
    await door.run_sql(
        "INSERT INTO external_identities (issuer, subject, user_id) VALUES ('https://idp.test', 's', :id)",
        id=made["id"],
    )
    answer = await door.call("POST", f"/users/{made['id']}/activation-link", token=await door.token_of("super_admin"))
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "already_activated")


async def test_a_reset_ends_all_sessions_and_signs_nobody_in(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    tokens = [(await door.sign_in("v@example.com"))["access_token"] for _ in range(3)]
    assert (await door.forget("v@example.com")).status_code == 202
    (mail,) = await door.mails()
    assert mail.url.startswith(f"{ISSUER}/reset-password#token=")

    answer = await reset(door, await door.last_token())

    assert (answer.status_code, answer.content) == (204, b"")
    for token in tokens:
        assert (await door.call("GET", "/auth/me", token=token)).status_code == 401
    (event,) = await door.events("reeve.user.password_reset.v1")
    assert (event.data["user_id"], event.data["sessions_ended"], event.severitytext) == (made["id"], 3, "warning")
    assert len(await door.run_sql("SELECT 1 FROM sessions WHERE user_id = :id AND is_active", id=made["id"])) == 0
    assert not await may_sign_in(door, "v@example.com", PASSWORD)
    assert await may_sign_in(door, "v@example.com", CHOSEN)


async def test_a_reset_leaves_the_second_factor_where_it_is(door: Door) -> None:
    await door.make_user(role="viewer", email="v@example.com")
    token = (await door.sign_in("v@example.com"))["access_token"]
    secret = (await door.call("POST", "/auth/mfa/totp", token=token)).json()["secret"]
    code = pyotp.TOTP(secret).now()
    assert (await door.call("POST", "/auth/mfa/totp/confirm", token=token, json={"otp": code})).status_code == 200
    await door.forget("v@example.com")
    assert (await reset(door, await door.last_token())).status_code == 204
    answer = await door.call("POST", "/auth/login", json={"email": "v@example.com", "password": CHOSEN})
    assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "otp_required")


async def test_another_password_ends_a_reset_link(door: Door) -> None:
    await door.make_user(role="viewer", email="v@example.com")
    await door.forget("v@example.com")
    link = await door.last_token()
    token = (await door.sign_in("v@example.com"))["access_token"]
    body = {"old_password": PASSWORD, "new_password": "chosen while the link waits"}
    assert (await door.call("PUT", "/auth/password", token=token, json=body)).status_code == 204
    assert expired(await reset(door, link))


@pytest.mark.parametrize("who", ["nobody@example.com", "not an address", "new@example.com", "off@example.com"])
async def test_forgetting_sends_only_to_active_accounts_with_a_password(door: Door, who: str) -> None:
    await newcomer(door)
    off = await door.make_user(role="viewer", email="off@example.com")
    admin = await door.token_of("super_admin")
    await door.call("PUT", f"/users/{off['id']}/status", token=admin, json={"is_active": False})
    before = len(await door.mails())
    answer = await door.forget(who)
    known = await door.forget("FIRST@example.com ")
    assert (answer.status_code, answer.content) == (known.status_code, known.content) == (202, known.content)
    assert {name for name in answer.headers if name != "x-request-id"} == {
        name for name in known.headers if name != "x-request-id"
    }
    assert [one.address for one in (await door.mails())[before:]] == ["first@example.com"]


async def test_what_the_answer_waits_for_is_the_same_for_everybody(door: Door) -> None:
    """The route writes one row, whoever is asked for, and reads nothing of accounts: its time cannot tell."""
    await door.token_of("super_admin")
    seen: list[tuple[int, int, int]] = []
    for email in ("first@example.com", "nobody@example.com"):
        answer = await door.call("POST", "/auth/password/forgot", json={"email": email})
        assert answer.status_code == 202
        (row,) = await door.run_sql(
            "SELECT (SELECT count(*) FROM reset_requests) AS asked, (SELECT count(*) FROM links) AS links,"
            " (SELECT count(*) FROM outbox WHERE type = :type) AS sent", type=SendLink.TYPE,
        )  # fmt: skip
        seen.append((row.asked, row.links, row.sent))
    assert seen == [(1, 0, 0), (2, 0, 0)]


async def test_nobodys_mailbox_is_flooded_from_however_many_addresses(door: Door) -> None:
    await door.make_user(role="viewer", email="v@example.com")
    for _ in range(10):
        assert (await door.forget("v@example.com")).status_code == 202
    assert len(await door.mails()) == MOST_IN_AN_HOUR
    # The last one still works: whoever asks for many takes nothing from the owner.
    assert (await reset(door, await door.last_token())).status_code == 204
    await door.run_sql("UPDATE links SET created_at = created_at - interval '61 minutes'")
    await door.forget("v@example.com")
    assert len(await door.mails()) == MOST_IN_AN_HOUR + 1


async def test_requests_that_are_answered_at_once_send_no_more_than_one_after_the_other(door: Door) -> None:
    await door.make_user(role="viewer", email="v@example.com")
    for _ in range(8):
        await door.call("POST", "/auth/password/forgot", json={"email": "v@example.com"})
    links = door.app.state.links
    assert all(await asyncio.gather(*(answer_request(door.database, links) for _ in range(8))))
    assert not await answer_request(door.database, links)
    assert len(await door.mails()) == MOST_IN_AN_HOUR


async def test_an_address_that_asks_too_often_is_refused_whoever_it_asks_for(gateway_database: Any) -> None:
    async with open_door(gateway_database, login_rate_limit="3/minute") as door:
        for email in ("first@example.com", "nobody@example.com"):
            answers = [await door.call("POST", "/auth/password/forgot", json={"email": email}) for _ in range(4)]
            if email == "first@example.com":
                assert [one.status_code for one in answers] == [202, 202, 202, 429]
            else:
                assert [one.status_code for one in answers] == [429] * 4


async def test_too_many_requests_that_wait_are_refused_for_everybody_alike(door: Door) -> None:
    await door.run_sql(
        "INSERT INTO reset_requests (id, email, origin, correlation_id)"
        " SELECT gen_random_uuid(), 'x@example.com', '{}', 'c' FROM generate_series(1, :most)", most=store.MOST_WAITING,
    )  # fmt: skip
    for email in ("first@example.com", "nobody@example.com"):
        answer = await door.call("POST", "/auth/password/forgot", json={"email": email})
        assert (answer.status_code, answer.json()["detail"]["error"]) == (503, "overloaded")


async def test_a_request_comes_back_when_its_answer_was_not_committed(door: Door) -> None:
    await door.call("POST", "/auth/password/forgot", json={"email": "first@example.com"})

    async def break_off() -> None:
        async with door.database.transaction() as session:
            assert await store.take_request(session) is not None
            raise RuntimeError("the process ends")

    with pytest.raises(RuntimeError, match="ends"):
        await break_off()
    assert await answer_request(door.database, door.app.state.links)
    assert len(await door.mails()) == 1


async def test_an_account_to_which_no_mail_can_be_made_keeps_no_other_waiting(door: Door) -> None:
    await door.make_user(role="viewer", email="v@example.com")
    await door.run_sql("UPDATE users SET name = :name WHERE email = 'v@example.com'", name="two\nlines")
    for email in ("v@example.com", "first@example.com"):
        await door.call("POST", "/auth/password/forgot", json={"email": email})
    assert [await answer_request(door.database, door.app.state.links) for _ in range(3)] == [True, True, False]
    assert [one.address for one in await door.mails()] == ["first@example.com"]


async def test_the_event_of_a_link_says_for_what_and_until_when_and_from_where_it_was_asked_for(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    await door.forget("v@example.com")
    (event,) = await door.events("reeve.user.link_issued.v1")
    assert (event.subject, event.data["kind"], event.actortype) == (f"user/{made['id']}", "password_reset", "anonymous")
    assert event.data["origin"]["ip_address"] == "203.0.113.7"


async def test_token_and_password_are_in_no_table_and_no_event(door: Door) -> None:
    await newcomer(door)
    token = await door.last_token()
    await activate(door, token)
    await door.forget("new@example.com")
    reset_token = await door.last_token()
    await reset(door, reset_token, "the second one of my choosing")
    tables = await door.run_sql("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    assert {"links", "reset_requests", "outbox", "users"} <= {row.tablename for row in tables}
    for row in tables:
        rows = await door.run_sql(f"SELECT t::text AS text FROM {row.tablename} AS t")
        stored = "\n".join(one.text for one in rows)
        for secret in (token, reset_token, CHOSEN, "the second one of my choosing"):
            for form in (secret, secret.encode().hex()):
                assert form not in stored, row.tablename
    hashes = {bytes(row.token_hash) for row in await door.run_sql("SELECT token_hash FROM links")}
    assert hashes == {hash_of(token), hash_of(reset_token)}


async def test_requests_are_answered_by_a_loop_without_being_asked(door: Door) -> None:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(answer_requests_forever(door.database, door.app.state.links))
        await door.call("POST", "/auth/password/forgot", json={"email": "first@example.com"})
        await eventually(door.mails)
        running.cancel()


async def test_the_table_itself_keeps_purposes_apart_and_gives_a_link_once(door: Door) -> None:
    """Beneath what the routes check besides."""
    await newcomer(door)
    token = hash_of(await door.last_token())
    async with door.database.transaction() as session:
        assert await links_store.find(session, token, Purpose.PASSWORD_RESET) is None
        assert await links_store.take(session, token, Purpose.PASSWORD_RESET) is None

    async def take_too() -> object:
        async with door.database.transaction() as session:
            return await links_store.take(session, token, Purpose.ACTIVATION)

    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with door.database.transaction() as session:
        assert await links_store.take(session, token, Purpose.ACTIVATION) is not None
        other = asyncio.ensure_future(take_too())
        await eventually(lambda: door.run_sql(waiting))
    assert await other is None
