"""Small decisions around accounts, sign-in and clients."""

import base64

import pytest

from libs.common.errors import ReeveError
from services.gateway.features.auth.models import Account, FailureReason, sign_in_failure
from services.gateway.features.clients.routes import new_client_id
from services.gateway.features.oauth.models import Credentials, check_grant, credentials_of
from services.gateway.features.users.models import masked_email


@pytest.mark.parametrize(
    ("account", "is_right", "failure"),
    [
        (None, False, "unknown_user"),
        (None, True, "unknown_user"),
        (Account(is_active=True, has_password=False), True, "awaits_activation"),
        (Account(is_active=True, has_password=True), False, "wrong_password"),
        (Account(is_active=False, has_password=True), False, "wrong_password"),
        (Account(is_active=False, has_password=True), True, "inactive"),
        (Account(is_active=True, has_password=True), True, None),
    ],
)
def test_only_an_active_account_with_the_right_password_signs_in(
    account: Account | None, is_right: bool, failure: FailureReason | None
) -> None:
    assert sign_in_failure(account, password_is_right=is_right) == failure


@pytest.mark.parametrize(
    ("email", "masked"),
    [
        ("Alice@Example.com", "a***@example.com"),
        ("a@b", "a***@b"),
        ("not an address", "***"),
        ("my-secret-password", "***"),
        ("", "***"),
        ("@x", "***@x"),
    ],
)
def test_a_tried_address_can_be_recognized_and_not_read(email: str, masked: str) -> None:
    assert masked_email(email) == masked


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "fields"),
    [
        (basic("shop:s3cret+%3A"), {}),
        (basic("shop:s3cret+%3A"), {"client_id": "shop"}),
        (basic("shop:s3cret+%3A").replace("Basic", "basic"), {}),
        (None, {"client_id": "shop", "client_secret": "s3cret :"}),
    ],
)
def test_a_client_authenticates_by_header_or_form(authorization: str | None, fields: dict[str, str]) -> None:
    assert credentials_of(authorization, fields) == Credentials("shop", "s3cret :")


@pytest.mark.parametrize(
    ("authorization", "fields", "code"),
    [
        (basic("shop:x"), {"client_id": "shop", "client_secret": "x"}, "invalid_request"),
        (basic("shop:x"), {"client_id": "other"}, "invalid_request"),
        (None, {}, "invalid_client"),
        (None, {"client_id": "shop"}, "invalid_client"),
        (None, {"client_secret": "x"}, "invalid_client"),
        ("Bearer abc", {}, "invalid_client"),
        ("Basic !!!", {}, "invalid_client"),
        ("Basic", {}, "invalid_client"),
        (basic("no colon"), {}, "invalid_client"),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), {}, "invalid_client"),
        (basic("s\0:x"), {}, "invalid_client"),
        (None, {"client_id": "x" * 300, "client_secret": "x"}, "invalid_client"),
    ],
)
def test_unclear_or_missing_credentials_are_refused(
    authorization: str | None, fields: dict[str, str], code: str
) -> None:
    with pytest.raises(ReeveError) as refused:
        credentials_of(authorization, fields)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_only_client_credentials_are_granted(fields: dict[str, str], code: str) -> None:
    with pytest.raises(ReeveError) as refused:
        check_grant(fields)
    assert refused.value.code == code


def test_made_up_client_ids_are_readable_and_differ() -> None:
    made = {new_client_id("Émile's  Shop!") for _ in range(50)}
    assert len(made) == 50
    assert all(one.startswith("mile-s-shop-") for one in made)
    assert new_client_id("猫").startswith("client-")
