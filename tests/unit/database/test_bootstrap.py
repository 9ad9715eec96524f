"""Passwords leave this process as SCRAM verifiers only."""

import base64
import hashlib
import hmac

import pytest

from libs.common.database.bootstrap import ROLES, check, scram_verifier
from libs.common.errors import ConfigError

# The exchange of RFC 7677, section 3: user "user", password "pencil".
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
MESSAGE = (
    "n=user,r=rOprNGfwEbeRWgbNEkqO,"
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SERVER_SIGNATURE = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_verifier_verifies_the_exchange_of_the_standard() -> None:
    method, salted, keys = scram_verifier("pencil", salt=base64.b64decode(SALT)).split("$")
    stored, server = (base64.b64decode(key) for key in keys.split(":"))
    signature = hmac.digest(stored, MESSAGE.encode(), "sha256")
    client_key = bytes(a ^ b for a, b in zip(base64.b64decode(PROOF), signature, strict=True))
    assert (method, salted) == ("SCRAM-SHA-256", f"4096:{SALT}")
    assert hashlib.sha256(client_key).digest() == stored
    assert base64.b64encode(hmac.digest(server, MESSAGE.encode(), "sha256")).decode() == SERVER_SIGNATURE


@pytest.mark.parametrize("name", ["", "Reeve", "reeve;drop", 're"eve', "1reeve", "x" * 60])
def test_names_that_would_need_quoting_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must match"):
        check(dict.fromkeys(ROLES, "secret"), name, "reeve")


@pytest.mark.parametrize("password", ["", "pässword", "line\nbreak"])
def test_an_unusable_password_is_refused_without_repeating_it(password: str) -> None:
    with pytest.raises(ConfigError, match="role audit must be printable ASCII") as refusal:
        check({**dict.fromkeys(ROLES, "secret"), "audit": password}, "reeve", "reeve")
    assert not password or password not in str(refusal.value)


def test_every_role_needs_its_own_password() -> None:
    with pytest.raises(ConfigError, match="role migrator"):
        check({}, "reeve", "reeve")
