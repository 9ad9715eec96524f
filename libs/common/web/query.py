"""A whole query string by one pydantic model, at no cost for a request that has none.

FastAPI looks at every declared parameter of a route for every request; a list route with ten filters
pays for all of them each time. `query_of(Model)` is a dependency that parses only what was sent, by the
same rules: unknown names and repeated single values are 422, and the description shows every parameter.
"""

from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from fastapi._compat import field_annotation_is_sequence
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

ModelT = TypeVar("ModelT", bound=BaseModel)
MOST_PARAMETERS = 200


class QueryOf(Generic[ModelT]):
    """The dependency; all of the model's fields must have defaults."""

    def __init__(self, model: type[ModelT]) -> None:
        self.model = model
        self.names = {
            name: field_annotation_is_sequence(field.annotation) for name, field in model.model_fields.items()
        }
        self._nothing_asked = model()
        self.takes_others = model.model_config.get("extra") == "ignore"
        """Whether parameters that the model does not have are passed over instead of refused."""

    async def __call__(self, request: Request) -> ModelT:
        """The model of this request's query. Raises 422 `validation_error`."""
        raw: bytes = request.scope["query_string"]
        if not raw:
            return self._nothing_asked
        given: dict[str, Any] = {}
        for name, value in self._pairs(raw):
            if self.names.get(name):
                given.setdefault(name, []).append(value)
            else:
                given[name] = value
        try:
            return self.model.model_validate(given)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)
            raise RequestValidationError([{**one, "loc": ("query", *one["loc"])} for one in found]) from None

    def parameters(self) -> list[dict[str, Any]]:
        """The parameters as OpenAPI describes them."""
        schema = self.model.model_json_schema(ref_template="#/components/schemas/{model}")
        definitions = schema.get("$defs", {})
        return [
            {
                "name": name, "in": "query", "required": False, "schema": _resolved(found, definitions),
                **({"description": found["description"]} if "description" in found else {}),
            }
            for name, found in schema["properties"].items()
        ]  # fmt: skip

    def _pairs(self, raw: bytes) -> list[tuple[str, str]]:
        try:
            return parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError:
            problem = {"type": "too_many", "loc": ("query",), "msg": f"At most {MOST_PARAMETERS} parameters"}
            raise RequestValidationError([problem]) from None


def query_of(model: type[ModelT]) -> QueryOf[ModelT]:
    """A dependency that gives `model` filled from the query string."""
    return QueryOf(model)


def _resolved(found: Any, definitions: dict[str, Any]) -> Any:
    """A schema with its references to `definitions` written out: parameters have no place for definitions."""
    if isinstance(found, list):
        return [_resolved(one, definitions) for one in found]
    if not isinstance(found, dict):
        return found
    if "$ref" in found:
        return _resolved(definitions[found["$ref"].rpartition("/")[2]], definitions)
    return {name: _resolved(one, definitions) for name, one in found.items() if name != "title"}
