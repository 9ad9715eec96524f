"""What a write makes of a setting: the next version, as a value. Whoever calls has the setting's row locked."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from libs.common.json_schema.shape import Json
from services.settings.models.errors import (
    EncryptionFixed,
    InvalidDefinition,
    InvalidValue,
    VersionConflict,
    VersionNotFound,
)
from services.settings.models.kinds import Step
from services.settings.models.settings import (
    RESERVED_KEYS,
    Definition,
    Given,
    Past,
    SecretReference,
    Setting,
    fitted,
)
from services.settings.models.values import loaded

REDACTED = "[redacted]"
LEAST_HINTED = 32
"""A secret shorter than this shows nothing of itself; a longer one its last four characters."""

Changes = dict[str, dict[str, Json]]

_SHOWN = (
    "value_type", "category", "config_type", "description", "is_public", "is_encrypted", "is_sensitive",
    "allow_override", "requires_approval",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who makes a version, and when."""

    at: datetime
    by: str | None


@dataclass(frozen=True, slots=True)
class Revision:
    """The version to be written. `plain` is the JSON text to encrypt for it; None when no secret changes."""

    step: Step
    before: Setting | None
    after: Setting
    plain: str | None = field(default=None, repr=False)


def check_version(key: str, setting: Setting | None, expected: int | None) -> None:
    """Raise `VersionConflict` unless the setting has the version that the caller expects, if any."""
    current = setting.version if setting is not None else None
    if expected is not None and expected != current:
        raise VersionConflict(key, expected=expected, current=current)


def create(key: str, definition: Definition, given: Given | None, *, version: int, stamp: Stamp) -> Revision:
    """A new setting; without a value it starts with its default, and an encrypted one without any."""
    if key in RESERVED_KEYS:
        raise InvalidDefinition(f"the key {key} is reserved", code="reserved_key")
    bare = Setting(key, definition, None, None, version, stamp.at, stamp.by)
    if given is None and definition.default_value is not None:
        given = Given(loaded(definition.default_value))
    if given is not None:
        return _valued(Step.CREATED, None, bare, given)
    if not definition.is_encrypted:
        raise InvalidValue("a setting needs a value or a default_value")
    return Revision(Step.CREATED, None, bare)


def change(setting: Setting, given: Given, stamp: Stamp) -> Revision:
    """Another value under the same definition."""
    return _valued(Step.CHANGED, setting, _next(setting, stamp), given)


def define(setting: Setting, definition: Definition, stamp: Stamp) -> Revision:
    """Another definition; the value stays, in the new type if it fits that."""
    after = _redefined(setting, definition, stamp)
    if definition.is_encrypted:
        return Revision(Step.DEFINED, setting, after)
    return _valued(Step.DEFINED, setting, after, _current(setting))


def replace_all(setting: Setting, definition: Definition, given: Given | None, stamp: Stamp) -> Revision:
    """Another definition and, where one is given, another value; else the present one stays as in `define`."""
    after = _redefined(setting, definition, stamp)
    if given is None and definition.is_encrypted:
        return Revision(Step.CHANGED, setting, after)
    return _valued(Step.CHANGED, setting, after, given or _current(setting))


def roll_back(setting: Setting, past: Past, given: Given | None, stamp: Stamp) -> Revision:
    """The value of an earlier version, as a new version. `given` is that value, None when nothing of it is left."""
    if past.step is Step.DELETED or given is None:
        raise VersionNotFound(setting.key, past.version)
    return _valued(Step.ROLLED_BACK, setting, _next(setting, stamp), given)


def delete(setting: Setting, stamp: Stamp) -> Revision:
    """The last version of a setting, which says that it is gone."""
    return Revision(Step.DELETED, setting, replace(_next(setting, stamp), value=None, secret=None))


def changes(revision: Revision) -> Changes:
    """Each field before and after, where they differ; a hidden value is masked, and named whenever it was written."""
    before, after = revision.before, revision.after
    is_deleted = revision.step is Step.DELETED
    found: Changes = {}
    if _writes_value(revision):
        old = _shown_value(before, before) if before is not None else None
        found["value"] = {"old": old, "new": None if is_deleted else _shown_value(after, before)}
    if not is_deleted:
        found.update(_definition_changes(before, after))
    return found


def must_open(revision: Revision) -> bool:
    """Whether a secret that stays as it is must be opened, to be held to a schema that is new."""
    before, after = revision.before, revision.after
    if before is None or revision.plain is not None or after.secret is None:
        return False
    schema = after.definition.json_schema
    return schema is not None and schema != before.definition.json_schema


def hint(value: Json) -> str | None:
    """What is shown of a secret: the last four characters of a text of at least 32, else nothing."""
    return f"...{value[-4:]}" if isinstance(value, str) and len(value) >= LEAST_HINTED else None


def mask(secret: SecretReference | None) -> dict[str, Json]:
    """What an encrypted value reads as."""
    return {"is_set": secret is not None, "hint": secret.hint if secret is not None else None}


def _valued(step: Step, before: Setting | None, after: Setting, given: Given) -> Revision:
    definition = after.definition
    if not definition.is_encrypted:
        return Revision(step, before, replace(after, value=fitted(given.value, definition)))
    _refuse_mask(given.value, before.secret if before is not None else None)
    plain = fitted(given.value, definition)
    return Revision(step, before, replace(after, secret=SecretReference(after.version, hint(loaded(plain)))), plain)


def _refuse_mask(value: Json, secret: SecretReference | None) -> None:
    """A form that is sent back as it was read must not overwrite the secret with its own mask."""
    is_mask = isinstance(value, dict) and value.keys() == {"is_set", "hint"}
    if is_mask or value == REDACTED or (secret is not None and secret.hint is not None and value == secret.hint):
        raise InvalidValue("this is the mask of a secret, not a secret")


def _next(setting: Setting, stamp: Stamp) -> Setting:
    return replace(setting, version=setting.version + 1, updated_at=stamp.at, updated_by=stamp.by)


def _redefined(setting: Setting, definition: Definition, stamp: Stamp) -> Setting:
    old = setting.definition
    if definition.is_encrypted != old.is_encrypted or (old.is_encrypted and definition.value_type != old.value_type):
        raise EncryptionFixed(setting.key)
    return replace(_next(setting, stamp), definition=definition)


def _current(setting: Setting) -> Given:
    assert setting.value is not None
    return Given(loaded(setting.value))


def _writes_value(revision: Revision) -> bool:
    before, after = revision.before, revision.after
    if after.definition.is_encrypted:
        return revision.plain is not None or revision.step is Step.DELETED
    return revision.step is not Step.DEFINED or before is None or before.value != after.value


def _shown_value(setting: Setting, before: Setting | None) -> Json:
    """The value as an event may show it: hidden when the setting is, or was until now."""
    if setting.definition.is_hidden or (before is not None and before.definition.is_hidden):
        is_set = setting.value is not None or setting.secret is not None
        return REDACTED if is_set else None
    return loaded(setting.value) if setting.value is not None else None


def _definition_changes(before: Setting | None, after: Setting) -> Changes:
    found: Changes = {}
    for name in _SHOWN:
        old = getattr(before.definition, name) if before is not None else None
        new = getattr(after.definition, name)
        if old != new and not (before is None and new in (False, "")):
            found[name] = {"old": old, "new": new}
    for name in ("json_schema", "default_value"):
        old = getattr(before.definition, name) if before is not None else None
        new = getattr(after.definition, name)
        if old != new:
            found[name] = {"old": _shown_text(name, old, before), "new": _shown_text(name, new, after)}
    return found


def _shown_text(name: str, text: str | None, setting: Setting | None) -> Json:
    if text is None or setting is None:
        return None
    return REDACTED if name == "default_value" and setting.definition.is_hidden else loaded(text)
