"""Messages about events that did not fit the schema of their type."""

from typing import Any, ClassVar, Literal

from libs.common.events.catalog import CommandData, OutcomeData

_ID = "0199a0c0-0000-7000-8000-000000000001"


class ReplayQuarantined(CommandData):
    """Try again to take an event into the log that did not fit its schema when it came.

    `catalogue_revision` is the last change of the registered types that the gateway knew when it was asked.
    """

    TYPE: ClassVar[str] = "reeve.command.quarantine.replay.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "replay_quarantined"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "replay_quarantined", "quarantine_id": _ID, "catalogue_revision": 7,
    }  # fmt: skip

    action: Literal["replay_quarantined"] = "replay_quarantined"
    quarantine_id: str
    catalogue_revision: int = 0


class QuarantineReplayed(OutcomeData):
    """An event that was quarantined is an entry of the log, with its own time and number; or was already."""

    TYPE: ClassVar[str] = "reeve.quarantine.replayed.v1"
    SOURCE: ClassVar[str] = "/reeve/audit"
    ACTION: ClassVar[str] = "replay_quarantined"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "quarantine_id": _ID, "event_type": "platform.import.failed.v1", "sequence": 4711,
        "result": {"id": _ID, "state": "replayed"},
    }  # fmt: skip

    quarantine_id: str
    event_type: str | None
    sequence: int
