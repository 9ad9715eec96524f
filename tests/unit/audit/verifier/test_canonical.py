"""RFC 8785: what is canonical is taken, and of everything else the difference is seen."""

import json
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.canonical import NotCanonical, number_text, parse_canonical

# RFC 8785, appendix B: IEEE 754 bits and what they are written as.
NUMBERS = {
    "0000000000000000": "0", "8000000000000000": "0", "0000000000000001": "5e-324", "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308", "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992", "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000", "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23", "44b52d02c7e14af7": "1.0000000000000001e+23", "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000", "444b1ae4d6e2ef50": "1e+21", "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001", "41b3de4355555553": "333333333.3333332", "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333", "41b3de4355555556": "333333333.3333334", "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333", "43143ff3c1cb0959": "1424953923781206.2",
}  # fmt: skip
SORTED = '{"\\r":"Carriage Return","1":"One","\u0080":"Control\u007f","\u00f6":"O","\u20ac":"Euro","\U0001f600":"Smile","\ufb33":"Dalet"}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab\ufb33\U0001f600é", max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_the_numbers_of_the_standard_are_written_as_it_says(bits: str, text: str) -> None:
    assert number_text(struct.unpack(">d", bytes.fromhex(bits))[0]) == text


def test_members_sort_by_their_utf_16_units() -> None:
    assert parse_canonical(SORTED.encode()) == json.loads(SORTED)
    by_code_point = json.dumps(json.loads(SORTED), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert by_code_point != SORTED
    with pytest.raises(NotCanonical):
        parse_canonical(by_code_point.encode())


def canonical(value: object) -> str:
    """An encoder of its own, for values without fractions."""
    match value:
        case dict():
            names = sorted(value, key=lambda name: name.encode("utf-16-be"))
            return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
        case list():
            return "[" + ",".join(canonical(one) for one in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


@given(JSON)
def test_canonical_json_is_taken_as_it_is(value: object) -> None:
    assert parse_canonical(canonical(value).encode()) == value


@given(JSON.filter(lambda value: "\\" not in canonical(value)), st.randoms())
def test_members_in_another_order_are_seen_without_any_backslash(value: object, chance: random.Random) -> None:
    names = ["a", "z", "\ufb33", "\U0001f600"]
    chance.shuffle(names)
    text = "{" + ",".join(f'"{name}":{canonical(value)}' for name in names) + "}"
    if text == canonical(dict.fromkeys(names, value)):
        assert parse_canonical(text.encode()) == dict.fromkeys(names, value)
    else:
        with pytest.raises(NotCanonical):
            parse_canonical(text.encode())


@given(JSON, st.data())
def test_a_blank_anywhere_between_is_seen(value: object, data: st.DataObject) -> None:
    text = canonical([value])
    place = data.draw(st.sampled_from([0, 1, len(text) - 1, len(text)]))
    with pytest.raises(NotCanonical):
        parse_canonical((text[:place] + " " + text[place:]).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"\xff", b'{"b":1,"a":2}', b'{"a":1,"a":1}', b"1.0", b"1e2", b"-0", b"0.10", b"1E400", b"NaN", b"Infinity",
        b'"\\u0041"', b'"\\/"', b'"\\ud800"', b'"\\u000A"', b'"\\u000a"', b'"\x01"', b"9007199254740993", b"1" * 5000,
        b"[" * 100_000, b"tru", b'{"a":1}x', b"\xef\xbb\xbf1", b'{"\xf0\x9f\x98\x80\\"x":1,"\xef\xac\xb3":1}x',
        b'{"\xef\xac\xb3":1,"\xf0\x9f\x98\x80\\"x":1}',
        b'{"\xef\xac\xb3":1,"\xf0\x9f\x98\x80":1}', b'[{"b":1,"a":2}]', b'{"a":{"x":1,"x":1}}', b"[-0]", b"[1 ]", b"[]]",
        b'{"a":[true,false, null]}', b'{"a":{"c":"","b":[]}}',
    ],
)  # fmt: skip
def test_everything_else_is_refused_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(NotCanonical):
        parse_canonical(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_taken(data: bytes) -> None:
    try:
        value = parse_canonical(data)
    except NotCanonical:
        return
    assert json.loads(data) == value
