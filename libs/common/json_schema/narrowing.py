"""What a newer schema may refuse that the older one takes.

Each rule of the newer schema is held against the older one's rule of the same keyword. So nothing that narrows goes unseen;
what two keywords say together may be called a narrowing though it is none.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import Final

from libs.common.json_schema.check import canonical, is_multiple
from libs.common.json_schema.shape import ANY_OF, TYPES, Json, Schema

MOST_TOLD: Final = 20
"""Places that are told; a schema with more of them has changed altogether."""


def narrowings(old: Schema, new: Schema) -> list[str]:
    """Places and keywords of `new` that may refuse what `old` takes, at most `MOST_TOLD`; both are checked schemas."""
    return list(islice(_below(old, new, ""), MOST_TOLD))


def _below(old: Json, new: Json, place: str) -> Iterator[str]:
    if old is False or new is True or canonical(old) == canonical(new):
        return
    if new is False:
        yield place or "/"
        return
    older = old if isinstance(old, dict) else {}
    assert isinstance(new, dict)
    for keyword, argument in new.items():
        implies = _IMPLIED.get(keyword)
        if implies is not None and not implies(older, argument):
            yield f"{place}/{keyword}"
    for keyword in sorted((ANY_OF | {"not"}) & new.keys()):
        if keyword not in older or canonical(older[keyword]) != canonical(new[keyword]):
            yield f"{place}/{keyword}"
    if "items" in new:
        yield from _below(older.get("items", True), new["items"], f"{place}/items")
    yield from _members(older, new, place)


def _members(old: Schema, new: Schema, place: str) -> Iterator[str]:
    """Members by name, and those that neither names: `properties` and `additionalProperties` are one rule together."""
    before, after = old.get("properties", {}), new.get("properties", {})
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    other_before, other_after = old.get("additionalProperties", True), new.get("additionalProperties", True)
    for name in sorted(before.keys() | after.keys()):
        was, is_now = before.get(name, other_before), after.get(name, other_after)
        yield from _below(was, is_now, f"{place}/properties/{name}")
    yield from _below(other_before, other_after, f"{place}/additionalProperties")


def _types(argument: Json) -> set[str]:
    named = {str(name) for name in (argument if isinstance(argument, list) else [argument])}
    return named | {"integer"} if "number" in named else named


def _keeps_types(old: Schema, wanted: Json) -> bool:
    return (_types(old["type"]) if "type" in old else TYPES) <= _types(wanted)


def _keeps_choices(old: Schema, choices: Json) -> bool:
    assert isinstance(choices, list)
    before = [old["const"]] if "const" in old else old.get("enum")
    return isinstance(before, list) and {canonical(one) for one in before} <= {canonical(one) for one in choices}


def _bound(keyword: str, holds: Callable[[Decimal, Decimal], bool]) -> Callable[[Schema, Json], bool]:
    """Whether the older schema has a bound of this keyword, and one that `holds` against the newer."""
    return lambda old, bound: keyword in old and holds(Decimal(str(old[keyword])), Decimal(str(bound)))


def _keeps_required(old: Schema, names: Json) -> bool:
    before = old.get("required", [])
    assert isinstance(names, list)
    assert isinstance(before, list)
    return {str(name) for name in names} <= {str(name) for name in before}


_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_IMPLIED: Mapping[str, Callable[[Schema, Json], bool]] = {
    "type": _keeps_types,
    "enum": _keeps_choices,
    "const": lambda old, wanted: _keeps_choices(old, [wanted]),
    "required": _keeps_required,
    "pattern": lambda old, pattern: old.get("pattern") == pattern,
    "uniqueItems": lambda old, wanted: wanted is False or old.get("uniqueItems") is True,
    "multipleOf": _bound("multipleOf", is_multiple),
    **{name: _bound(name, lambda old, new: old >= new) for name in _LEAST},
    **{name: _bound(name, lambda old, new: old <= new) for name in _MOST},
}
