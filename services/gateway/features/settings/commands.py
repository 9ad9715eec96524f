"""Builds the commands of the settings service. Every value is sealed to that service before anything stores it."""

from typing import Any

import orjson

from libs.common.errors import Invalid
from libs.common.events.settings import (
    ChangeSetting,
    Clearable,
    CreateSetting,
    DefineSetting,
    DefinitionPatch,
    DeleteSetting,
    RollbackSetting,
    SettingDefinition,
    UpsertSetting,
)
from libs.common.identity import Origin
from libs.common.sealing import seal
from services.gateway.features.settings.schemas import (
    CreateSettingRequest,
    PatchSettingRequest,
    PutSettingRequest,
    RollbackRequest,
)

DEFINITION = frozenset(SettingDefinition.model_fields)
CLEARABLE: tuple[Clearable, ...] = ("json_schema", "default_value")
MOST_VALUE_BYTES = 128 * 1024


class SettingCommands:
    """Commands in the name of a request's origin; `public_key` is the settings service's."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def create(self, body: CreateSettingRequest, *, origin: Origin) -> CreateSetting:
        """A new setting."""
        return CreateSetting(
            key=body.key, definition=_definition(body), reason=body.reason, origin=origin,
            sealed_value=self._given(body, "value"), sealed_default_value=self._given(body, "default_value"),
        )  # fmt: skip

    def put(
        self, key: str, body: PutSettingRequest, *, version: int | None, origin: Origin
    ) -> ChangeSetting | UpsertSetting:
        """The value alone, or an upsert when the body says what the setting is."""
        given = body.model_fields_set - {"reason"}
        if given == {"value"}:
            return ChangeSetting(
                key=key,
                sealed_value=self._seal(body.value),
                reason=body.reason,
                expected_version=version,
                origin=origin,
            )
        if body.value_type is None:
            raise Invalid(
                "PUT takes either value alone or a whole setting with its value_type", code="incomplete_setting"
            )
        return UpsertSetting(
            key=key, definition=_definition(body), reason=body.reason, expected_version=version, origin=origin,
            sealed_value=self._given(body, "value"), sealed_default_value=self._given(body, "default_value"),
        )  # fmt: skip

    def patch(self, key: str, body: PatchSettingRequest, *, version: int | None, origin: Origin) -> DefineSetting:
        """Another definition, the same value."""
        given = body.model_fields_set
        changed = {name: getattr(body, name) for name in given & DEFINITION if getattr(body, name) is not None}
        clear = tuple(name for name in CLEARABLE if name in given and getattr(body, name) is None)
        sealed = None if body.default_value is None else self._seal(body.default_value)
        return DefineSetting(
            key=key, patch=DefinitionPatch(**changed), clear=clear, sealed_default_value=sealed, reason=body.reason,
            expected_version=version, origin=origin,
        )  # fmt: skip

    def delete(self, key: str, *, version: int | None, origin: Origin) -> DeleteSetting:
        """No such setting any more."""
        return DeleteSetting(key=key, expected_version=version, origin=origin)

    def roll_back(self, key: str, body: RollbackRequest, *, version: int | None, origin: Origin) -> RollbackSetting:
        """An earlier value as a new version."""
        return RollbackSetting(
            key=key, version=body.version, reason=body.reason, expected_version=version, origin=origin
        )

    def _given(self, body: CreateSettingRequest | PutSettingRequest, name: str) -> str | None:
        return self._seal(getattr(body, name)) if name in body.model_fields_set else None

    def _seal(self, value: Any) -> str:
        plain = orjson.dumps(value)
        if len(plain) > MOST_VALUE_BYTES:
            raise Invalid(f"a value may have at most {MOST_VALUE_BYTES} bytes", code="invalid_value")
        return seal(self._public_key, plain)


def _definition(body: CreateSettingRequest | PutSettingRequest) -> SettingDefinition:
    given = {name: getattr(body, name) for name in body.model_fields_set & DEFINITION}
    return SettingDefinition(**{name: value for name, value in given.items() if value is not None})
