"""The witness's environment."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from libs.common.config import HttpSettings, ObservabilitySettings
from services.audit.log.notes import VerifierKey, is_key_name

MOST_NAME = 100
MOST_LOGS = 100


def _key_name(value: str) -> str:
    if not is_key_name(value) or len(value) > MOST_NAME:
        raise ValueError(f"must be 1 to {MOST_NAME} characters without spaces and +, such as witness.example.com/w1")
    return value


def _known(value: tuple[str, ...]) -> tuple[str, ...]:
    names = [VerifierKey.parse(text).name for text in value]
    if len(set(names)) < len(names):
        raise ValueError("two logs of one name cannot be told apart")
    return value


class Config(HttpSettings, ObservabilitySettings):
    """What the operator of a witness sets: what it is called, where it remembers, and which logs it knows by their keys."""

    witness_name: Annotated[str, AfterValidator(_key_name)]
    witness_dir: Path = Path(".reeve-witness")
    witness_logs: Annotated[tuple[str, ...], Field(max_length=MOST_LOGS), AfterValidator(_known)] = ()

    @property
    def logs(self) -> list[VerifierKey]:
        """The keys of the logs."""
        return [VerifierKey.parse(text) for text in self.witness_logs]
