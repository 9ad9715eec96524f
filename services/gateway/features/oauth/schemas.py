"""How the description of the API shows forms and documents whose shape a standard owns."""

from typing import Any

FORM_TYPE = "application/x-www-form-urlencoded"
_CREDENTIALS: dict[str, Any] = {
    "client_id": {"type": "string", "maxLength": 256},
    "client_secret": {"type": "string", "maxLength": 256, "format": "password"},
}
TOKEN_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"type": "string", "enum": ["client_credentials"]},
        "scope": {"type": "string", "description": "Some of the client's scopes, separated by spaces; default all."},
        **_CREDENTIALS,
    },
}
TOKEN_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["token"],
    "properties": {
        "token": {"type": "string", "format": "password"},
        "token_type_hint": {"type": "string", "description": "Not needed: there is one kind."},
        **_CREDENTIALS,
    },
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


_ERROR = {
    "description": "An error in OAuth's own shape",
    **_json(
        {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
        }
    ),
}
ERRORS: dict[int | str, dict[str, Any]] = {400: _ERROR, 401: _ERROR, "default": _ERROR}
ACTIVE = {
    "description": "What holds of the token",
    **_json({"type": "object", "required": ["active"], "properties": {"active": {"type": "boolean"}}}),
}
DOCUMENT = {"description": "The document", **_json({"type": "object"})}


def form(schema: dict[str, Any]) -> dict[str, Any]:
    """The description of a route that reads a form of this schema."""
    return {"requestBody": {"required": True, "content": {FORM_TYPE: {"schema": schema}}}}
