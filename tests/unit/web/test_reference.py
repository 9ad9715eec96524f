"""The reference page says what the description says, loads nothing from elsewhere, and runs nothing."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import httpx
import pytest

from libs.common.web.reference import reference
from tests.unit.web.shop import open_shop


@pytest.fixture(name="answer", scope="module")
async def read_page() -> httpx.Response:
    app = open_shop(openapi_url="/openapi.json", docs_url="/docs")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as http:
        return await http.get("/docs")


def test_it_names_every_operation(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    schema = open_shop(openapi_url="/openapi.json").openapi()
    operations = [(method.upper(), path) for path, item in schema["paths"].items() for method in item]
    assert len(operations) > 4
    for method, path in operations:
        assert f"<b>{method}</b><code>{path}</code>" in answer.text


def test_it_loads_and_runs_nothing(answer: httpx.Response) -> None:
    found: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Tags().feed(answer.text)
    assert not {tag for tag, _ in found} & {"script", "link", "img", "iframe", "object", "form"}
    assert not [
        attrs for _, attrs in found if "src" in attrs or "style" in attrs or any(k.startswith("on") for k in attrs)
    ]
    assert all(str(attrs["href"]).startswith(("#", "/")) for tag, attrs in found if tag == "a")


def test_its_policy_lets_its_own_style_in_and_nothing_else(answer: httpx.Response) -> None:
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy


def test_names_of_the_description_cannot_become_markup() -> None:
    operation = {"tags": ["<i>"], "description": "<script>1</script>", "responses": {"200": {}}}
    schema = {
        "info": {"title": "<b>", "version": "1"},
        "paths": {"/<x>": {"get": operation}},
        "components": {"schemas": {"<S>": {"description": "<p>", "properties": {"<m>": {"type": "string"}}}}},
    }
    page = reference(schema, openapi_url="/openapi.json")
    assert "<script>" not in page
    assert not re.search(r"<(x|S|m)>", page)


def test_it_says_which_permission_a_route_needs() -> None:
    operation = {"responses": {}, "x-required-permission": "settings:read"}
    schema = {
        "info": {"title": "T", "version": "1"},
        "paths": {"/x": {"get": operation}},
        "components": {"schemas": {}},
    }
    assert "<small>needs</small> <code>settings:read</code>" in reference(schema, openapi_url="/o")
