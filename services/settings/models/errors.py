"""What the settings service refuses, and why. No message and no member ever holds a value."""

from libs.common.errors import Conflict, Invalid, NotFound, PreconditionFailed, ReeveError


class InvalidValue(Invalid):
    """The value does not fit the setting's type, schema or limits."""

    default_code = "invalid_value"


class InvalidDefinition(Invalid):
    """The members of a definition contradict each other or themselves."""

    default_code = "invalid_definition"


class SettingNotFound(NotFound):
    """There is no setting of this key."""

    default_code = "setting_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no setting {key}")


class VersionNotFound(NotFound):
    """The setting never had this version, or nothing of it can be restored."""

    default_code = "version_not_found"

    def __init__(self, key: str, version: int) -> None:
        super().__init__(f"there is no version {version} of {key} to go back to")


class SettingExists(Conflict):
    """A setting of this key exists already."""

    default_code = "setting_exists"

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} exists already")


class EncryptionFixed(Conflict):
    """Whether a setting is encrypted is settled when it is created: its past values lie as they were written."""

    default_code = "encryption_fixed"

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} cannot become encrypted or cease to be; delete it and create it anew")


class VersionConflict(PreconditionFailed):
    """`If-Match` named another version."""

    def __init__(self, key: str, *, expected: int, current: int | None) -> None:
        now = "does not exist" if current is None else f"is at version {current}"
        super().__init__(f"{key} {now}, not at version {expected}", current_version=current)


class SecretUnreadable(ReeveError):
    """A stored secret does not open: its key is missing, or it was moved or changed."""

    default_code = "secret_unreadable"

    def __init__(self, key: str) -> None:
        super().__init__(f"the stored secret of {key} cannot be read")
