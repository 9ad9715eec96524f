"""The published vectors of JSON Web Signatures and Keys (Wycheproof): what they call invalid is refused here too.

What they call valid and we refuse is listed with its reason: it is always a rule of ours, never an accident.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.gateway.access.issuers.compact import check_signature, read_compact
from services.gateway.access.issuers.keys import BadKeys, read_keys
from services.gateway.access.issuers.models import BadToken
from tests.conftest import VECTORS

ALL = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")


def groups(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / "wycheproof" / name).read_text())["testGroups"]
    return found


def published(group: dict[str, Any]) -> list[dict[str, Any]]:
    """What an issuer with this key would publish: its public half, or, of a shared key, nothing but itself."""
    key = group.get("public") or group.get("private") or {}
    return list(key.get("keys", [key]))


def cases(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in groups(name):
        for test in group["tests"]:
            yield group, test


def is_accepted(group: dict[str, Any], text: str) -> bool:
    """As a token of an issuer with the keys of this group; a payload need not be JSON here."""
    try:
        keys = read_keys(json.dumps({"keys": published(group)}).encode())
        head = json.loads(_head(text))
        key = keys.get(head.get("kid", ""))
        if key is None:
            return False
        check_signature(text, key, algorithm=head.get("alg", ""), allowed=ALL)
        spelled(text)
    except (BadKeys, BadToken, ValueError, AttributeError):
        return False
    return True


def spelled(text: str) -> None:
    """Raise `BadToken` for a spelling that is not the one; what the payload says does not matter here.

    No payload at all is no token of ours: in these cases the signature is judged alone.
    """
    if text.count("..") == 1 and text.count(".") == 2:
        return
    try:
        read_compact(text)
    except BadToken as error:
        if not str(error).startswith("claims:"):
            raise


def _head(text: str) -> bytes:
    part = text.split(".", maxsplit=1)[0]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def reason_to_refuse(group: dict[str, Any]) -> str | None:
    """The rule of ours by which a valid signature is not taken."""
    (key, *_) = published(group)
    if key.get("kty") == "oct":
        return "a shared key"
    if "@" in key.get("kid", ""):
        return "a kid of other characters"
    if key.get("alg") == "ES521":
        return "an algorithm that does not exist"
    return None


@pytest.mark.published_vectors
def test_every_signature_that_is_published_as_invalid_is_refused() -> None:
    invalid = [(group, test) for group, test in cases("json_web_signature_test.json") if test["result"] == "invalid"]
    assert len(invalid) > 250
    taken = [test["tcId"] for group, test in invalid if is_accepted(group, str(test["jws"]))]
    assert taken == []


@pytest.mark.published_vectors
def test_every_signature_that_is_published_as_valid_is_taken_unless_a_rule_says_no() -> None:
    counted = {"taken": 0, "by rule": 0}
    for group, test in cases("json_web_signature_test.json"):
        if test["result"] != "valid":
            continue
        reason = reason_to_refuse(group)
        assert is_accepted(group, test["jws"]) == (reason is None), (test["tcId"], group["comment"], reason)
        counted["taken" if reason is None else "by rule"] += 1
    assert counted["taken"] >= 30


@pytest.mark.published_vectors
def test_keys_are_taken_as_published() -> None:
    for group, test in cases("json_web_key_test.json"):
        expected = test["result"] == "valid" and reason_to_refuse(group) is None
        assert is_accepted(group, test["jws"]) == expected, (test["tcId"], test["comment"])
