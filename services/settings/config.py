"""The settings service's environment."""

from pathlib import Path

from libs.common.config import BrokerSettings, DatabaseSettings, DataSettings, HttpSettings, ObservabilitySettings


class Config(HttpSettings, DataSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """What an operator may set; the defaults are those of a single machine."""

    kek_file: Path | None = None

    @property
    def kek_path(self) -> Path:
        """The file of the key-encryption key: `REEVE_KEK_FILE`, else one among the other keys."""
        return self.kek_file or self.keys / "settings.kek"
