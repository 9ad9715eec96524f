"""Which entries can be undone, and how: for each event type the request that takes back what it tells. Pure.

A request is an ordinary one, with the permission, checks and records of its route. It is offered only where the entry
itself says enough: what is masked, cut or partly unknown is not taken back by guessing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from libs.common.events.settings import SettingChanged, SettingCreated, SettingRolledBack
from libs.common.events.sinks import SinkCreated
from libs.common.events.users import UserDeleted, UserRoleChanged, UserStatusChanged

ADMIN = "/api/v1/admin"
UNDOES = "Reeve-Undoes"
"""The header by which a request says which entry it undoes."""
REASON = "undone"
MASK = "[redacted]"

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Undo:
    """A request that takes something back. `headers` go with it: the link, and the version it was made for."""

    permission: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def undo_of(entry: Entry) -> Undo | None:
    """The request that undoes what an entry tells, None where there is none."""
    make = REGISTRY.get(entry["event_type"])
    if (
        make is None
        or entry["outcome"] != "success"
        or not entry["target_id"]
        or not isinstance(entry["changes"], dict)
    ):
        return None
    if entry["details"].get("_truncated"):
        return None
    return make(entry)


def _setting_value(entry: Entry) -> Undo | None:
    """The value before, by a rollback to the version before, as long as nothing came after."""
    if entry["changes"].keys() != {"value"} or not _was_told(entry["changes"]["value"]):
        return None
    version = entry["details"].get("version")
    if not isinstance(version, int) or version < 2:
        return None
    return Undo(
        "settings:write", "POST", f"{_setting(entry)}/rollback", {"version": version - 1, "reason": REASON},
        {"If-Match": f'"{version}"'},
    )  # fmt: skip


def _setting_creation(entry: Entry) -> Undo | None:
    version = entry["details"].get("version")
    if not isinstance(version, int):
        return None
    return Undo("settings:write", "DELETE", f"{_setting(entry)}?confirm=true", None, {"If-Match": f'"{version}"'})


def _user_role(entry: Entry) -> Undo | None:
    change = entry["changes"].get("role", {})
    if not _was_told(change):
        return None
    return Undo("users:write", "PUT", f"{_user(entry)}/role", {"role": change["old"]})


def _user_status(entry: Entry) -> Undo | None:
    """Also a deletion: it switches an account off, and only erasure takes anything away."""
    change = entry["changes"].get("is_active", {})
    if not _was_told(change):
        return None
    return Undo("users:write", "PUT", f"{_user(entry)}/status", {"is_active": change["old"], "reason": REASON})


def _sink_creation(entry: Entry) -> Undo | None:
    return Undo(
        "roles:write", "DELETE", f"{ADMIN}/audit/sinks/{quote(entry['target_id'], safe='')}", None, {"If-Match": '"1"'}
    )


REGISTRY: Mapping[str, Callable[[Entry], Undo | None]] = {
    SettingChanged.TYPE: _setting_value,
    SettingRolledBack.TYPE: _setting_value,
    SettingCreated.TYPE: _setting_creation,
    UserRoleChanged.TYPE: _user_role,
    UserStatusChanged.TYPE: _user_status,
    UserDeleted.TYPE: _user_status,
    SinkCreated.TYPE: _sink_creation,
}
"""By wire type."""


def _was_told(change: Mapping[str, Any]) -> bool:
    """Whether an entry says what was before, in clear."""
    return change.get("old") not in (None, MASK)


def _setting(entry: Entry) -> str:
    return f"{ADMIN}/settings/{quote(entry['target_id'], safe='')}"


def _user(entry: Entry) -> str:
    return f"{ADMIN}/users/{quote(entry['target_id'], safe='')}"
