"""Signing in with a second factor."""

import asyncio
import time

import httpx
import pyotp
import pytest

from services.gateway.features.factors import store
from services.gateway.features.factors.commands import SecondFactors
from tests.integration.gateway.access.door import PASSWORD, SUPER_ADMIN, Door


async def test_from_the_confirmation_on_a_code_is_asked_for(door: Door) -> None:
    token = await door.token_of("super_admin")
    begun = (await door.call("POST", "/auth/mfa/totp", token=token)).json()
    assert pyotp.parse_uri(begun["otpauth_uri"]).secret == begun["secret"]
    assert (await sign_in(door)).status_code == 200
    code = pyotp.TOTP(begun["secret"]).now()
    confirmed = await door.call("POST", "/auth/mfa/totp/confirm", token=token, json={"otp": code})
    assert (confirmed.status_code, len(confirmed.json()["recovery_codes"])) == (200, 10)
    refused = await sign_in(door)
    assert (refused.status_code, refused.json()["detail"]["error"]) == (401, "otp_required")
    later = pyotp.TOTP(begun["secret"]).at(time.time() + 30)
    assert (await sign_in(door, otp=later)).status_code == 200
    (event,) = await door.events("reeve.second_factor.enrolled.v1")
    assert event.data["user_id"] == event.actorid


async def test_a_code_that_lacks_is_no_failure_and_a_wrong_one_is(door: Door) -> None:
    await enrol(door)
    await sign_in(door)
    assert await door.events("reeve.sign_in.failed.v1") == []
    refused = await sign_in(door, otp="000000")
    assert (refused.status_code, refused.json()["detail"]["error"]) == (401, "invalid_credentials")
    (event,) = await door.events("reeve.sign_in.failed.v1")
    assert event.data["reason"] == "wrong_code"


async def test_a_wrong_password_never_tells_of_the_second_factor(door: Door) -> None:
    secret, _ = await enrol(door)
    for otp in (None, pyotp.TOTP(secret).at(time.time() + 30)):
        refused = await sign_in(door, password="not the password", otp=otp)
        assert refused.json()["detail"]["error"] == "invalid_credentials"


async def test_a_code_lets_in_once_even_at_the_same_moment(door: Door) -> None:
    secret, _ = await enrol(door)
    code = pyotp.TOTP(secret).at(time.time() + 30)
    answers = await asyncio.gather(*(sign_in(door, otp=code) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [200, 401, 401, 401]


async def test_whoever_uses_a_step_second_learns_it_from_the_database(door: Door) -> None:
    """Two gateways may both have found a code right before either used it."""
    await enrol(door)
    (row,) = await door.run_sql("SELECT user_id::text AS id FROM totp_factors")
    step = int(time.time()) // 30 + 1
    answers = []
    for wanted in (step, step, step - 1, step + 1):
        async with door.database.transaction() as session:
            answers.append(await store.use_step(session, row.id, wanted))
    assert answers == [True, False, False, True]


async def test_a_recovery_code_lets_in_once_and_says_so(door: Door) -> None:
    _, codes = await enrol(door)
    answers = await asyncio.gather(*(sign_in(door, otp=codes[3].lower()) for _ in range(3)))
    assert sorted(one.status_code for one in answers) == [200, 401, 401]
    (event,) = await door.events("reeve.recovery_code.used.v1")
    assert (event.data["codes_left"], event.severity) == (9, "warning")


async def test_without_the_factor_a_password_is_enough_again(door: Door) -> None:
    _, codes = await enrol(door)
    token = (await sign_in(door, otp=codes[0])).json()["access_token"]
    assert (await door.call("DELETE", "/auth/mfa/totp", token=token)).status_code == 204
    assert (await sign_in(door)).status_code == 200
    assert len(await door.events("reeve.second_factor.removed.v1")) == 1
    assert await door.run_sql("SELECT 1 FROM recovery_codes UNION ALL SELECT 1 FROM totp_factors") == []
    assert (await door.call("DELETE", "/auth/mfa/totp", token=token)).status_code == 204
    assert len(await door.events("reeve.second_factor.removed.v1")) == 1


async def test_an_enrolled_factor_is_not_replaced_unseen(door: Door) -> None:
    await enrol(door)
    token = await door.token_of("super_admin")
    begun = await door.call("POST", "/auth/mfa/totp", token=token)
    confirmed = await door.call("POST", "/auth/mfa/totp/confirm", token=token, json={"otp": "123456"})
    for refused in (begun, confirmed):
        assert (refused.status_code, refused.json()["detail"]["error"]) == (409, "factor_exists")


@pytest.mark.parametrize(
    ("is_begun", "status", "error"), [(False, 409, "factor_not_begun"), (True, 422, "invalid_otp")]
)
async def test_a_confirmation_needs_the_code_of_what_was_begun(
    door: Door, is_begun: bool, status: int, error: str
) -> None:
    token = await door.token_of("super_admin")
    if is_begun:
        await door.call("POST", "/auth/mfa/totp", token=token)
    refused = await door.call("POST", "/auth/mfa/totp/confirm", token=token, json={"otp": "000000"})
    assert (refused.status_code, refused.json()["detail"]["error"]) == (status, error)


async def test_neither_secret_nor_recovery_codes_are_stored_readably(door: Door) -> None:
    secret, codes = await enrol(door)
    dumped = str(
        await door.run_sql(
            "SELECT t::text FROM totp_factors t UNION ALL SELECT r::text FROM recovery_codes r"
            " UNION ALL SELECT convert_from(body, 'UTF8') FROM outbox"
        )
    )
    assert secret not in dumped
    assert pyotp.TOTP(secret).byte_secret().hex() not in dumped
    assert not any(code in dumped or code.replace("-", "") in dumped for code in codes)


async def test_a_secret_moved_to_another_account_opens_nothing(door: Door) -> None:
    secret, _ = await enrol(door)
    other = await door.make_user(role="viewer", email="other@example.com")
    await door.run_sql(
        "INSERT INTO totp_factors (user_id, locked_secret, confirmed_at)"
        " SELECT CAST(:other AS uuid), locked_secret, confirmed_at FROM totp_factors",
        other=other["id"],
    )
    code = pyotp.TOTP(secret).at(time.time() + 30)
    answer = await sign_in(door, email="other@example.com", otp=code)
    assert answer.status_code == 401


async def test_a_fresh_proof_takes_the_second_factor_too(door: Door) -> None:
    secret, codes = await enrol(door)
    token = (await sign_in(door, otp=codes[0])).json()["access_token"]
    answers = [
        await door.call("POST", "/auth/step-up", token=token, json={"password": PASSWORD, **otp})
        for otp in ({}, {"otp": "000000"}, {"otp": pyotp.TOTP(secret).at(time.time() + 30)})
    ]
    errors = [one.json().get("detail", {}).get("error") for one in answers]
    assert errors == ["otp_required", "invalid_credentials", None]
    assert answers[2].status_code == 200


async def test_with_the_key_lost_recovery_codes_still_let_in(door: Door) -> None:
    secret, codes = await enrol(door)
    door.app.state.factors = SecondFactors(b"another key, and just as long ...", issuer="Reeve")
    assert (await sign_in(door, otp=pyotp.TOTP(secret).at(time.time() + 30))).status_code == 401
    assert (await sign_in(door, otp=codes[0])).status_code == 200


async def enrol(door: Door) -> tuple[str, list[str]]:
    """Give the first super admin a second factor: its secret in base32, and the recovery codes."""
    token = await door.token_of("super_admin")
    secret = (await door.call("POST", "/auth/mfa/totp", token=token)).json()["secret"]
    code = pyotp.TOTP(secret).at(time.time() - 30)
    confirmed = await door.call("POST", "/auth/mfa/totp/confirm", token=token, json={"otp": code})
    return secret, list(confirmed.json()["recovery_codes"])


async def sign_in(
    door: Door, *, email: str = SUPER_ADMIN, password: str = PASSWORD, otp: str | None = None
) -> httpx.Response:
    """Try to sign in."""
    body = {"email": email, "password": password, **({"otp": otp} if otp is not None else {})}
    return await door.call("POST", "/auth/login", json=body)
