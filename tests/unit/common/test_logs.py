"""Log lines: one call, one line of JSON, whatever is in it."""

import io
import json
import logging
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from libs.common import logs

EVIL = {
    "CRLF": 'curl\r\n{"level":"error","event":"forged"}',
    "ESC": "\x1b[2J\x1b[31mred",
    "line separator": "a\u2028b\u2029c\x85d",
    "right to left": "\u202eevil\u2066",
    "NUL and DEL": "a\0b\x7fc",
    "C1": "a\x9b31mb",
    "half a surrogate pair": "a\ud83db",
}


@pytest.fixture
def root() -> Iterator[None]:
    """Put the standard library's root logger back afterwards."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logs.configure_structlog("reeve", logging.INFO)


def is_harmless(line: str) -> bool:
    """Whether nothing in it acts on a terminal or ends a line: no control, separator or bidirectional character."""
    return not any(
        unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(one) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        for one in line
    )


def lines(written: str) -> list[dict[str, Any]]:
    """The parsed lines, after a look that each is printable."""
    assert not written or written.endswith("\n")
    found = written.split("\n")[:-1]
    assert all(is_harmless(line) for line in found)
    assert len(written.splitlines()) == len(found)
    return [json.loads(line) for line in found]


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL.keys())
def test_a_user_agent_makes_exactly_one_printable_line(evil: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.get("edge").info("request answered", user_agent=evil, **{evil: 1})
    (line,) = lines(capsys.readouterr().err)
    assert line["event"] == "request answered"
    assert is_harmless(line["user_agent"])


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL.keys())
@pytest.mark.usefixtures("root")
def test_a_line_of_another_library_is_made_safe_too(evil: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("gateway")
    logging.getLogger("library").warning("got %s", evil, extra={"field": evil})
    (line,) = lines(capsys.readouterr().err)
    assert (line["service"], line["level"], line["module"]) == ("gateway", "warning", "library")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_whatever_is_logged_makes_one_line(value: object) -> None:
    line = logs.render(None, "info", {"event": "x", "value": value, "exception": str(value)})
    assert is_harmless(line)
    json.loads(line)


def test_a_text_of_a_megabyte_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    logs.get("edge").info("request answered", user_agent="x" * 2**20)
    written = capsys.readouterr().err
    assert len(written) < 3000
    assert "(1048576 characters)" in lines(written)[0]["user_agent"]


def test_deep_and_wide_values_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    deep: object = "end"
    for _ in range(500):
        deep = [deep]
    logs.get("edge").info("x", deep=deep, wide=list(range(10_000)))
    assert len(capsys.readouterr().err) < 10_000


def test_an_exception_is_one_line_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("two\nlines\x1b[2J")
    except ValueError as error:
        logs.get("edge").error("it failed", exc_info=error)
    (line,) = lines(capsys.readouterr().err)
    assert line["exception"].startswith("Traceback")
    assert "\x1b" not in line["exception"]


def test_a_traceback_shows_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    password = "hunter2"
    try:
        raise ValueError(f"a password of {len(password)} characters")
    except ValueError as error:
        logs.get("edge").error("it failed", exc_info=error)
    assert "hunter2" not in capsys.readouterr().err


def test_the_input_of_a_validation_error_is_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    class Row(BaseModel):
        size: int

    try:
        Row.model_validate({"size": "hunter2\nsecret"})
    except ValueError as error:
        logs.get("edge").error("it failed", exc_info=error)
    logged = capsys.readouterr().err.replace('"hunter2\\\\nsecret"', "")
    assert "input withheld" in logged
    assert "input_value" not in logged


@dataclass
class Request:
    """What a line says about its request."""

    request_id: str = "request-1"
    trace_id: str = "4bf9"


def test_a_line_bears_the_ids_of_its_request(capsys: pytest.CaptureFixture[str]) -> None:
    token = logs.SCOPE.set(Request())
    logs.get("edge").info("inside")
    logs.SCOPE.reset(token)
    logs.get("edge").info("outside")
    inside, outside = lines(capsys.readouterr().err)
    assert (inside["request_id"], inside["trace_id"]) == ("request-1", "4bf9")
    assert "request_id" not in outside


@pytest.mark.usefixtures("root")
def test_the_level_holds_for_us_and_for_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("gateway", "warning")
    assert not logs.is_debug()
    for level in ("debug", "info", "warning", "error"):
        getattr(logs.get("edge"), level)("ours")
        getattr(logging.getLogger("library"), level)("theirs")
    assert [line["level"] for line in lines(capsys.readouterr().err)] == ["warning", "warning", "error", "error"]
    logs.configure("gateway", "debug")
    assert logs.is_debug()
    logs.configure("gateway")


@pytest.mark.usefixtures("root")
def test_lines_go_to_whatever_stderr_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure("gateway")
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.get("edge").info("ours")
    logging.getLogger("library").warning("theirs")
    assert [line["event"] for line in lines(stream.getvalue())] == ["ours", "theirs"]
