"""The settings that every platform has from its first start on."""

from dataclasses import dataclass
from typing import Final

from services.settings.models.settings import Definition, Given


@dataclass(frozen=True, slots=True)
class DefaultSetting:
    """A setting that is created once; who deletes it is not contradicted at the next start."""

    key: str
    definition: Definition
    given: Given


DEFAULTS: Final = (
    DefaultSetting(
        "max_stores_allowed",
        Definition("integer", category="system", description="How many stores the platform may hold."),
        Given(1000),
    ),
    DefaultSetting(
        "maintenance_mode",
        Definition("boolean", category="system", description="Whether the platform is closed for maintenance.", is_public=True),
        Given(False),
    ),
    DefaultSetting(
        "store_trial_days",
        Definition("integer", category="system", description="How many days a new store may try the platform."),
        Given(30),
    ),
)  # fmt: skip
