"""The keys of the settings service, as its handlers use them."""

from dataclasses import dataclass

from libs.common.sealing import Unsealer
from services.settings.secrets.vault import Vault


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens values on their way here, and what keeps secrets."""

    unsealer: Unsealer
    vault: Vault
