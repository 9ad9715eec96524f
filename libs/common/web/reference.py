"""The API's reference as one plain page, made from its OpenAPI description.

It needs no script and nothing from elsewhere, so it reads the same without an internet connection and
under a policy that lets nothing in.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f4f6f8;padding:.6rem;overflow:auto}
nav a{display:inline-block;margin:0 .8rem .3rem 0}summary{cursor:pointer;padding:.35rem 0}
details{border-bottom:1px solid #dde3ea}details>*:not(summary){margin-left:5.2rem}
b{display:inline-block;width:4.6rem}table{border-collapse:collapse}td,th{padding:.15rem .9rem .15rem 0;text-align:left;
vertical-align:top}small{color:#5a6675}
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""The page's Content-Security-Policy: its own style and nothing else."""


def reference(schema: Mapping[str, Any], *, openapi_url: str) -> str:
    """The page for an OpenAPI description that is served at `openapi_url`."""
    operations = sorted(_operations(schema), key=lambda one: one[0])
    groups = [(area, [one[1:] for one in some]) for area, some in groupby(operations, key=lambda one: one[0])]
    title = escape(f"{schema['info']['title']} {schema['info']['version']}")
    contents = "".join(f'<a href="#{escape(area)}">{escape(area)}</a>' for area, _ in groups)
    sections = "".join(
        f'<h2 id="{escape(area)}">{escape(area)}</h2>'
        + "".join(_operation(method, path, operation) for method, path, operation in some)
        for area, some in groups
    )
    bodies = "".join(_schema(name, one) for name, one in sorted(schema["components"]["schemas"].items()))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f'<h1>{title}</h1><p>{escape(schema["info"].get("description", ""))} For machines: '
        f'<a href="{escape(openapi_url)}">{escape(openapi_url)}</a>.</p><nav>{contents}<a href="#bodies">bodies</a></nav>'
        f'{sections}<h2 id="bodies">bodies</h2>{bodies}</body></html>'
    )  # fmt: skip


def _operations(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Area, method, path and description of each operation, in the order of the description within an area."""
    for path, item in schema["paths"].items():
        for method in _METHODS:
            if method in item:
                tags = item[method].get("tags") or ["other"]
                yield str(tags[0]), method, path, item[method]


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    says = operation.get("description") or operation.get("summary") or ""
    permission = operation.get("x-required-permission")
    needs = f"<p><small>needs</small> <code>{escape(permission)}</code></p>" if permission else ""
    return (
        f"<details><summary><b>{method.upper()}</b><code>{escape(path)}</code></summary><p>{escape(says)}</p>{needs}"
        f"{_parameters(operation)}{_body(operation)}{_answers(operation)}</details>"
    )


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}{'' if one.get('required') else ', optional'}"
        f"</td><td><code>{escape(_kind(one.get('schema', {})))}</code></td><td>{escape(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", ())
    )
    return f"<table>{rows}</table>" if rows else ""


def _body(operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    kinds = "; ".join(f"{kind}: {_linked(one.get('schema', {}))}" for kind, one in content.items())
    return f"<p><small>body</small> {kinds}</p>" if kinds else ""


def _answers(operation: Mapping[str, Any]) -> str:
    told = []
    for status, answer in operation.get("responses", {}).items():
        shape: Mapping[str, Any] = next((one.get("schema", {}) for one in answer.get("content", {}).values()), {})
        told.append(f"{escape(status)} {_linked(shape)}".strip())
    return f"<p><small>answers</small> {'; '.join(told)}</p>" if told else ""


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(member)}</code></td><td>{'' if member in required else 'optional'}</td>"
        f"<td>{_linked(one)}</td><td>{escape(one.get('description', ''))}</td></tr>"
        for member, one in schema.get("properties", {}).items()
    )
    shape = f"<table>{rows}</table>" if rows else f"<p><code>{escape(_kind(schema))}</code></p>"
    return f'<h3 id="body-{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>{shape}'


def _linked(schema: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref") or schema.get("items", {}).get("$ref", "")).rpartition("/")[2]
    if name:
        return f'<a href="#body-{escape(name)}">{escape(name)}</a>{"[]" if "items" in schema else ""}'
    return f"<code>{escape(_kind(schema))}</code>" if schema else ""


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    for joined in ("anyOf", "oneOf", "allOf"):
        if joined in schema:
            return " | ".join(_kind(one) for one in schema[joined])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"{_kind(schema.get('items', {}))}[]"
    bounds = ", ".join(f"{word} {schema[key]}" for key, word in _BOUNDS if key in schema)
    return f"{schema.get('format', kind)} ({bounds})" if bounds else str(schema.get("format", kind))


_BOUNDS = (
    ("minimum", "from"), ("maximum", "to"), ("minLength", "at least"), ("maxLength", "at most"), ("pattern", "matching"),
)  # fmt: skip
