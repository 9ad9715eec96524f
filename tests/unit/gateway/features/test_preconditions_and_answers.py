"""What a write may demand first, and how the outcome of a command is answered."""

import orjson
import pytest
from fastapi import Request

from libs.common.errors import BadRequest, PreconditionFailed
from libs.common.events.requests import OperationRejected
from services.gateway.features.answers import accepted, answer
from services.gateway.features.idempotency.models import Claim, key_of
from services.gateway.features.preconditions import expected_version, require_confirmation
from tests.support.makers import an_event

OPERATION = "01a1fdd2-753a-7012-81ca-9be4897e0a00"


def asking(if_match: str | None) -> Request:
    headers = [] if if_match is None else [(b"if-match", if_match.encode("latin-1"))]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("text", "version"),
    [(None, None), ("*", None), (" * ", None), ('"1"', 1), (' "17" ', 17), ('"2147483647"', 2**31 - 1)],
)
def test_the_version_that_if_match_names(text: str | None, version: int | None) -> None:
    assert expected_version(asking(text)) == version


@pytest.mark.parametrize("text", ["", "1", 'W/"1"', '"0"', '"01"', '"1", "2"', '"2147483648"', '"x"', '"\xb2"', '"1'])
def test_any_other_tag_is_never_the_current_one(text: str) -> None:
    with pytest.raises(PreconditionFailed):
        expected_version(asking(text))


def test_only_a_yes_confirms() -> None:
    require_confirmation(True)
    for unsaid in (None, False):
        with pytest.raises(BadRequest) as refused:
            require_confirmation(unsaid)
        assert refused.value.code == "confirmation_required"


def test_what_is_not_applied_yet_names_where_to_ask() -> None:
    found = accepted(OPERATION)
    assert (found.status_code, found.headers["location"]) == (202, f"/api/v1/admin/operations/{OPERATION}")
    assert orjson.loads(found.body) == {"operation_id": OPERATION, "status": "accepted"}


def test_a_result_is_answered_with_its_status_and_its_etag() -> None:
    outcome = an_event(data={"status": 201, "result": {"key": "a", "version": 3}}, causationid=OPERATION)
    found = answer(outcome)
    assert (found.status_code, found.headers["etag"], found.headers["x-operation-id"]) == (201, '"3"', OPERATION)
    assert orjson.loads(found.body) == {"key": "a", "version": 3}


@pytest.mark.parametrize("data", [{"status": 204}, {"status": 204, "result": {"a": 1}}, {"status": 200}])
def test_an_outcome_without_a_result_is_204(data: dict[str, object]) -> None:
    found = answer(an_event(data=data))
    assert (found.status_code, found.body) == (204, b"")


def test_a_refusal_is_answered_in_the_house_shape() -> None:
    error = {"error": "setting_exists", "message": "theme exists already"}
    found = answer(an_event(type=OperationRejected.TYPE, data={"status": 409, "error": error}))
    assert (found.status_code, orjson.loads(found.body)) == (409, {"detail": error})


@pytest.mark.parametrize(("offered", "key"), [("a", "a"), ('"a"', "a"), ('"', '"'), ("~" * 255, "~" * 255)])
def test_a_key_may_be_quoted(offered: str, key: str) -> None:
    assert key_of(offered) == key


@pytest.mark.parametrize("offered", ["", '""', "a b", "a" * 256, "\xfc", "a\n"])
def test_a_key_of_other_characters_is_refused(offered: str) -> None:
    with pytest.raises(BadRequest) as refused:
        key_of(offered)
    assert refused.value.code == "invalid_idempotency_key"


def test_no_two_claims_are_bound_to_the_same() -> None:
    assert Claim("ab", "c").bound != Claim("a", "bc").bound
