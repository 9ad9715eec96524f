"""The OpenAPI description says what the edge really answers: one error shape for every operation."""

from typing import Any

ERROR_SCHEMA: dict[str, Any] = {
    "title": "Error",
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "object",
            "required": ["error", "message"],
            "properties": {
                "error": {"type": "string", "description": "A stable machine code."},
                "message": {"type": "string", "description": "For a person."},
                "errors": {
                    "type": "array",
                    "description": "With 422: each place, its rule and the rule's type.",
                    "items": {
                        "type": "object",
                        "required": ["loc", "msg", "type"],
                        "properties": {
                            "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                            "msg": {"type": "string"},
                            "type": {"type": "string"},
                        },
                    },
                },
                "request_id": {"type": "string", "description": "With 5xx: names the failure in our logs."},
            },
            "additionalProperties": True,
        }
    },
}
_REFERENCE = {"$ref": "#/components/schemas/Error"}
_OPERATIONS = frozenset(("get", "put", "post", "delete", "patch", "head", "options", "trace"))


def with_error_shape(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with `Error` as the answer of every operation that goes wrong. Changes and returns it."""
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas["Error"] = ERROR_SCHEMA
    for path in schema.get("paths", {}).values():
        for name, operation in path.items():
            if name in _OPERATIONS:
                _describe(operation.setdefault("responses", {}))
    return schema


def _describe(responses: dict[str, Any]) -> None:
    error = {"description": "Error", "content": {"application/json": {"schema": _REFERENCE}}}
    content = responses.get("422", {}).get("content", {}).get("application/json", {})
    if content.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
        responses["422"] = {**error, "description": "Validation error"}
    responses.setdefault("default", error)
