"""One error shape, from every layer."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.responses import StreamingResponse

from libs.common.web import errors
from libs.common.web.errors import Problem
from tests.unit.web.browser import ask
from tests.unit.web.shop import open_shop, the_shop

PUT = ("PUT", "/api/shop/articles/tea")


async def test_an_unknown_path_is_404_in_the_house_shape() -> None:
    answer = await ask(the_shop(), "GET", "/nowhere")
    assert (answer.status, answer.error) == (404, "not_found")


async def test_a_trailing_slash_is_another_path() -> None:
    assert (await ask(the_shop(), "GET", "/api/shop/articles/")).status == 404


async def test_a_wrong_method_is_405_and_names_the_methods_of_all_routes_there() -> None:
    answer = await ask(the_shop(), "PATCH", "/api/shop/articles/tea")
    assert (answer.status, answer.error) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, PUT"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("conflict", 409, "article_exists"),
        ("forbidden", 403, "admin_permission_required"),
        ("limited", 429, "rate_limited"),
        ("unavailable", 503, "unavailable"),
        ("check", 500, "permission_check_failed"),
        ("crash", 500, "internal_error"),
        ("group", 409, "conflict"),
    ],
)
async def test_each_error_of_the_tree_has_its_status_and_code(kind: str, status: int, code: str) -> None:
    answer = await ask(the_shop(), "POST", f"/api/shop/articles/fail/{kind}")
    assert (answer.status, answer.error) == (status, code)
    assert answer.headers["content-type"] == "application/json"


async def test_a_403_has_exactly_its_four_members() -> None:
    answer = await ask(the_shop(), "POST", "/api/shop/articles/fail/forbidden")
    assert answer.json == {
        "detail": {
            "error": "admin_permission_required",
            "message": "no",
            "required_permission": "x:y",
            "user_permission": "read",
        }
    }


async def test_a_429_says_when_to_come_back() -> None:
    assert (await ask(the_shop(), "POST", "/api/shop/articles/fail/limited")).headers["retry-after"] == "7"


async def test_a_500_names_the_request_and_nothing_of_the_inside() -> None:
    headers = [("X-Request-ID", "request-42")]
    answer = await ask(the_shop(), "POST", "/api/shop/articles/fail/crash", headers=headers)
    assert answer.json["detail"]["request_id"] == "request-42"
    assert b"hunter2" not in answer.body
    assert b"RuntimeError" not in answer.body


async def test_a_500_is_logged_once_with_its_request(capsys: pytest.CaptureFixture[str]) -> None:
    await ask(the_shop(), "POST", "/api/shop/articles/fail/crash", headers=[("X-Request-ID", "request-42")])
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["request_id"]) for line in lines] == [("request failed", "request-42")]
    assert "RuntimeError" in lines[0]["exception"]


async def test_an_error_that_the_caller_made_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    await ask(the_shop(), *PUT, body=b"{")
    assert capsys.readouterr().err == ""


async def test_a_422_names_places_and_rules_and_never_repeats_the_input() -> None:
    sent = {"name": ["s3cret-in-name"], "count": "s3cret-count", "password": "s3cret" * 20, "s3": "s3cret-extra"}
    answer = await ask(the_shop(), *PUT, json_body=sent)
    assert (answer.status, answer.error) == (422, "validation_error")
    assert b"s3cret" not in answer.body
    assert {tuple(error["loc"]) for error in answer.json["detail"]["errors"]} == {
        ("body", "name"), ("body", "count"), ("body", "password"), ("body", "s3"),
    }  # fmt: skip
    assert all(set(error) == {"loc", "msg", "type"} for error in answer.json["detail"]["errors"])


async def test_unknown_members_are_refused() -> None:
    answer = await ask(the_shop(), *PUT, json_body={"name": "tea", "role": "super_admin"})
    assert answer.status == 422
    assert answer.json["detail"]["errors"][0] == {
        "loc": ["body", "role"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden",
    }  # fmt: skip


async def test_a_missing_body_is_422() -> None:
    answer = await ask(the_shop(), *PUT)
    assert (answer.status, answer.json["detail"]["errors"][0]["type"]) == (422, "missing")


def test_thousands_of_errors_are_answered_with_the_first_fifty() -> None:
    problem = errors.invalid({"loc": ("body", n), "msg": "wrong", "type": "wrong"} for n in range(5000))
    assert len(problem.detail["errors"]) == 50
    assert problem.detail["message"] == "body.0: wrong (and 4999 more)"


def test_a_rule_whose_message_would_quote_the_input_gets_a_plain_one() -> None:
    problem = errors.invalid([{"loc": ("body",), "msg": "found `s3cret`", "type": "union_tag_invalid"}])
    assert "s3cret" not in json.dumps(problem.detail)


def test_a_long_name_of_an_unknown_member_is_cut() -> None:
    problem = errors.invalid([{"loc": ("body", "x" * 100_000), "msg": "no", "type": "extra_forbidden"}])
    assert len(json.dumps(problem.detail)) < 1000


def test_entries_of_a_model_checked_by_hand_are_put_below_their_place() -> None:
    class Row(BaseModel):
        model_config = ConfigDict(extra="forbid")
        size: int

    with pytest.raises(ValidationError) as caught:
        Row.model_validate({"size": "s3cret"})
    found = errors.entries(caught.value, below=("body", 3))
    assert found == [
        {
            "loc": ["body", 3, "size"],
            "msg": "Input should be a valid integer, unable to parse string as an integer",
            "type": "int_parsing",
        }
    ]


async def test_a_path_whose_shape_a_standard_owns_answers_in_that_shape() -> None:
    def oauth(problem: Problem) -> tuple[bytes, str]:
        body: dict[str, Any] = {"error": "invalid_request", "error_description": problem.detail["message"]}
        return json.dumps(body).encode(), "application/json;charset=UTF-8"

    shop = open_shop(error_shapes={"/api/shop/oauth": oauth})
    inside = await ask(shop, "GET", "/api/shop/oauth/nowhere")
    assert inside.json == {"error": "invalid_request", "error_description": "there is nothing at this path"}
    assert inside.headers["content-type"] == "application/json;charset=UTF-8"
    assert (await ask(shop, "GET", "/api/shop/nowhere")).error == "not_found"


async def test_an_answer_that_fails_after_its_beginning_is_logged_once_and_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop = open_shop()

    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("the other half is gone")

    @shop.get("/half")
    async def stream() -> StreamingResponse:
        return StreamingResponse(half())

    with pytest.raises(errors.AnswerCutShort):
        await ask(shop, "GET", "/half")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["request failed"]


async def test_an_answer_of_another_application_that_is_cut_short_is_a_500_here() -> None:
    shop = open_shop()

    @shop.get("/relayed")
    async def relayed() -> None:
        raise errors.AnswerCutShort

    answer = await ask(shop, "GET", "/relayed")
    assert (answer.status, answer.error) == (500, "internal_error")


async def test_a_caller_that_asks_for_problem_details_gets_them() -> None:
    headers = [("Accept", "application/problem+json, application/json")]
    answer = await ask(the_shop(), "POST", "/api/shop/articles/fail/forbidden", headers=headers)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json == {
        "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "no",
        "error": "admin_permission_required", "required_permission": "x:y", "user_permission": "read",
    }  # fmt: skip


def test_an_application_takes_no_second_renderer_of_errors() -> None:
    with pytest.raises(TypeError, match="rendered by the edge"):
        open_shop().add_exception_handler(ValueError, lambda *_: None)  # type: ignore[arg-type]
