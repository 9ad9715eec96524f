"""What is ambiguous, oversized or unknown is refused before a route sees it."""

import gzip
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import BadRequest
from libs.common.web.body import MOST_BODY_BYTES, is_json, parse_form, parse_json
from tests.unit.web.browser import ask
from tests.unit.web.shop import TIGHT, open_shop, the_shop

PUT = ("PUT", "/api/shop/articles/tea")
MALFORMED = {
    "cut off": b'{"name": "tea"',
    "not JSON": b"name=tea",
    "duplicate key": b'{"name": "tea", "name": "coffee"}',
    "duplicate key by escape": b'{"name": "tea", "n\\u0061me": "coffee"}',
    "duplicate key deep inside": b'{"name": "tea", "details": {"a": [{"b": 1, "b": 2}]}}',
    "NaN": b'{"name": "tea", "details": {"x": NaN}}',
    "Infinity": b'{"name": "tea", "details": {"x": -Infinity}}',
    "number out of range": b'{"name": "tea", "details": {"x": 1e400}}',
    "100,000 brackets": b"[" * 100_000,
    "100,000 closed brackets": b"[" * 100_000 + b"]" * 100_000,
    "33 levels": b'{"name": "tea", "details": ' + b'{"a":' * 32 + b"1" + b"}" * 32 + b"}",
    "5,000 digits": b'{"name": "tea", "count": ' + b"9" * 5000 + b"}",
    "beyond 64 bits": b'{"name": "tea", "count": 9223372036854775808}',
    "beyond 64 bits below zero": b'{"name": "tea", "count": -9223372036854775809}',
    "10,001 keys": json.dumps({"name": "tea", "details": {str(n): n for n in range(10_001)}}).encode(),
    "U+0000": b'{"name": "t\\u0000a"}',
    "half a surrogate pair": b'{"name": "\\ud83d"}',
    "half a surrogate pair as a key": b'{"name": "tea", "details": {"\\uDC00": 1}}',
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": json.dumps({"name": "tea"}).encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "two values": b'{"name": "tea"} {}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_json_that_is_malformed_or_ambiguous_is_400(body: bytes) -> None:
    answer = await ask(the_shop(), *PUT, body=body)
    assert (answer.status, answer.error) == (400, "malformed_json")


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "tea", "count": 9223372036854775807}',
        b'{"name": "tea", "count": -9223372036854775808}',
        b'{"name": "\\ud83c\\udf75 \\u00e9"}',
        b'{"name": "tea", "details": ' + b'{"a":' * 31 + b"1" + b"}" * 31 + b"}",
        b' \n{"name": "tea"}\n',
    ],
    ids=["largest integer", "smallest integer", "a whole surrogate pair", "32 levels", "white space"],
)
async def test_what_keeps_within_the_limits_is_taken(body: bytes) -> None:
    assert (await ask(the_shop(), *PUT, body=body)).status == 200


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=20,
))  # fmt: skip
def test_whatever_json_can_say_within_the_limits_is_read_as_it_is(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_in_another_way(body: bytes) -> None:
    with suppress(BadRequest):
        parse_json(body)


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", None, ""])
async def test_another_content_type_is_415(content_type: str | None) -> None:
    answer = await ask(the_shop(), *PUT, json_body={"name": "tea"}, content_type=content_type)
    assert (answer.status, answer.error) == (415, "unsupported_media_type")


async def test_a_compressed_body_is_415() -> None:
    answer = await ask(the_shop(), *PUT, body=gzip.compress(b'{"name": "tea"}'), headers=[("content-encoding", "gzip")])
    assert (answer.status, answer.error) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/merge-patch+json", True),
        ("text/json", False),
        ("application/jsonx", False),
        (None, False),
    ],
)
def test_json_is_recognised_by_its_media_type(content_type: str | None, expected: bool) -> None:
    assert is_json(content_type) is expected


async def test_a_body_over_its_limit_is_413_by_its_announced_length() -> None:
    answer = await ask(the_shop(), *PUT, body=b"x" * (MOST_BODY_BYTES + 1))
    assert (answer.status, answer.error, answer.headers["connection"]) == (413, "body_too_large", "close")


async def test_a_body_over_its_limit_is_413_by_what_arrives() -> None:
    answer = await ask(the_shop(), *PUT, body=[b"x" * 65536] * 17)
    assert (answer.status, answer.error) == (413, "body_too_large")


async def test_a_body_over_its_limit_is_413_where_the_route_reads_it_itself() -> None:
    answer = await ask(the_shop(), "POST", "/api/shop/articles/raw", body=[b"x" * 65536] * 17)
    assert (answer.status, answer.error) == (413, "body_too_large")


async def test_a_body_of_just_the_limit_is_taken() -> None:
    answer = await ask(open_shop(limits=TIGHT), "POST", "/api/shop/articles/raw", body=[b"x" * 500] * 2)
    assert (answer.status, answer.json) == (200, {"bytes": 1000})


@pytest.mark.parametrize("length", ["-1", "1x", "0x10", "99999999999999999999999999"])
async def test_a_length_that_is_no_number_within_the_limit_is_413(length: str) -> None:
    answer = await ask(the_shop(), *PUT, headers=[("content-length", length)])
    assert answer.status == 413


async def test_an_unknown_query_parameter_is_422_and_is_named() -> None:
    answer = await ask(the_shop(), "GET", "/api/shop/articles?limit=5&colour=red")
    assert answer.status == 422
    assert answer.json["detail"]["errors"] == [
        {"loc": ["query", "colour"], "msg": "Unknown query parameter", "type": "extra_forbidden"}
    ]


async def test_a_parameter_with_one_value_cannot_be_given_twice() -> None:
    assert (await ask(the_shop(), "GET", "/api/shop/articles?limit=5&limit=6")).status == 422


async def test_a_list_parameter_can_be_given_twice() -> None:
    answer = await ask(the_shop(), "GET", "/api/shop/articles?tag=a&tag=b")
    assert answer.json["articles"] == ["a", "b"]


async def test_every_delete_takes_confirm() -> None:
    assert (await ask(the_shop(), "DELETE", "/api/shop/articles/tea?confirm=true")).status == 204
    assert (await ask(the_shop(), "DELETE", "/api/shop/articles/tea?force=true")).status == 422


async def test_u_0000_in_path_or_query_is_400() -> None:
    assert (await ask(the_shop(), "GET", "/api/shop/articles?tag=%00")).status == 400
    assert (await ask(the_shop(), "GET", "/api/shop/articles/t\0a")).status == 400


def test_a_form_gives_its_fields() -> None:
    assert parse_form(b"grant_type=client_credentials&scope=a+b&empty=") == {
        "grant_type": "client_credentials", "scope": "a b", "empty": "",
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"a=1&a=2", b"a", b"a=%00", b"\xff=1", b"&".join(b"a%d=1" % n for n in range(101))])
def test_an_ambiguous_form_is_400(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_form(body)
