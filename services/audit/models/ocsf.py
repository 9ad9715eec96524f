"""An entry as an event of the Open Cybersecurity Schema Framework (OCSF): pure.

Sign-ins are Authentication (3002), changes of what Reeve keeps Entity Management (3004), exports Web Resources
Activity (6001), and every other request API Activity (6003). `type_uid` is the class times 100 plus the activity,
`category_uid` the class's thousands, times are milliseconds since 1970 in UTC.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

VERSIONS = ("1.8.0", "1.9.0-dev")
DEFAULT_VERSION = "1.8.0"

AUTHENTICATION, ENTITY_MANAGEMENT, WEB_RESOURCES, API_ACTIVITY = 3002, 3004, 6001, 6003
OTHER = 99
_CLASS_NAMES = {
    AUTHENTICATION: "Authentication",
    ENTITY_MANAGEMENT: "Entity Management",
    WEB_RESOURCES: "Web Resources Activity",
    API_ACTIVITY: "API Activity",
}
_CATEGORY_NAMES = {3: "Identity & Access Management", 6: "Application Activity"}
_SIGN_INS = {"sign_in": (1, "Logon"), "sign_out": (2, "Logoff"), "end_session": (2, "Logoff")}
_EXPORTS = frozenset({"start_export", "finish_export", "download_export"})
_VERBS = {
    "create": (1, "Create"), "add": (1, "Create"), "register": (1, "Create"), "save": (1, "Create"),
    "raise": (1, "Create"),
    "view": (2, "Read"), "list": (2, "Read"), "read": (2, "Read"), "search": (2, "Read"), "get": (2, "Read"),
    "update": (3, "Update"), "change": (3, "Update"), "set": (3, "Update"), "define": (3, "Update"),
    "rollback": (3, "Update"), "upsert": (3, "Update"), "resolve": (3, "Update"), "mark": (3, "Update"),
    "delete": (4, "Delete"), "remove": (4, "Delete"),
}  # fmt: skip
_ENTITY_VERBS = {
    **_VERBS,
    "enable": (8, "Enable"), "disable": (9, "Disable"), "activate": (10, "Activate"),
    "deactivate": (11, "Deactivate"), "suspend": (12, "Suspend"), "resume": (13, "Resume"),
}  # fmt: skip
_SEVERITIES = {
    "info": (1, "Informational"),
    "warning": (3, "Medium"),
    "error": (4, "High"),
    "critical": (5, "Critical"),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Entry = Mapping[str, Any]
"""An entry by the names of its columns; `details` and `changes` are JSON texts."""


def event_of(entry: Entry, *, version: str) -> dict[str, Any]:
    """The OCSF event of an entry, in this version of the schema."""
    kind, (activity, activity_name) = _kind(entry)
    severity, severity_name = _SEVERITIES[entry["severity"]]
    succeeded = entry["outcome"] == "success"
    return {
        "category_uid": kind // 1000,
        "category_name": _CATEGORY_NAMES[kind // 1000],
        "class_uid": kind,
        "class_name": _CLASS_NAMES[kind],
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": kind * 100 + activity,
        "severity_id": severity,
        "severity": severity_name,
        "status_id": 1 if succeeded else 2,
        "status": "Success" if succeeded else "Failure",
        "status_detail": entry["outcome"],
        "time": _milliseconds(entry["created_at"]),
        "timezone_offset": 0,
        "message": _message(entry),
        "metadata": _metadata(entry, version),
        "actor": _actor(entry),
        **_of_class(kind, entry),
        "unmapped": _unmapped(entry),
    }


def _kind(entry: Entry) -> tuple[int, tuple[int, str]]:
    action: str = entry["action"]
    if action in _SIGN_INS:
        return AUTHENTICATION, _SIGN_INS[action]
    if action in _EXPORTS:
        return WEB_RESOURCES, (7, "Export")
    verb = action.partition("_")[0]
    if entry["changes"] is not None and entry["target_type"] is not None:
        return ENTITY_MANAGEMENT, _ENTITY_VERBS.get(verb, (OTHER, action))
    return API_ACTIVITY, _VERBS.get(verb, (OTHER, action))


def _of_class(kind: int, entry: Entry) -> dict[str, Any]:
    """What its class demands of an event beyond the rest."""
    address = {"src_endpoint": _endpoint(entry)}
    match kind:
        case 3002:
            return {**address, "user": _user(entry), "service": {"name": "Reeve"}}
        case 3004:
            return {**address, "entity": _target(entry), "comment": _reason(entry)}
        case 6001:
            return {**address, "web_resources": [_target(entry)]}
        case _:
            return {**address, "api": {"operation": entry["action"], "service": {"name": entry["source"]}}}


def _metadata(entry: Entry, version: str) -> dict[str, Any]:
    found = {
        "version": version,
        "product": {"name": "Reeve", "vendor_name": "Reeve", "feature": {"name": "audit"}},
        "uid": entry["id"],
        "sequence": entry["sequence"],
        "event_code": entry["event_type"],
        "original_event_uid": entry["event_id"],
        "correlation_uid": entry["operation_id"] or entry["request_id"],
        "trace_uid": entry["trace_id"],
        "logged_time": _milliseconds(entry["recorded_at"]),
        "log_provider": entry["source"],
    }
    return {name: value for name, value in found.items() if value is not None}


def _actor(entry: Entry) -> dict[str, Any]:
    if entry["actor_type"] in ("admin", "anonymous"):
        return {"user": _user(entry)}
    return {"invoked_by": entry["source"], "user": _user(entry)}


def _user(entry: Entry) -> dict[str, Any]:
    is_admin = entry["actor_type"] == "admin"
    found = {
        "uid": entry["admin_user_id"],
        "name": entry["admin_username"],
        "type": "Admin" if is_admin else entry["actor_type"],
        "type_id": 2 if is_admin else OTHER,
    }
    return {name: value for name, value in found.items() if value is not None}


def _endpoint(entry: Entry) -> dict[str, Any]:
    """Where it came from: an address, else the service that tells of it; an endpoint must have one of them."""
    return {"ip": entry["ip_address"]} if entry["ip_address"] else {"svc_name": entry["source"]}


def _target(entry: Entry) -> dict[str, Any]:
    found = {"type": entry["target_type"], "uid": entry["target_id"], "name": entry["target_id"] or entry["action"]}
    return {name: value for name, value in found.items() if value is not None}


def _reason(entry: Entry) -> str:
    reason = orjson.loads(entry["details"]).get("reason")
    return reason if isinstance(reason, str) else ""


def _message(entry: Entry) -> str:
    target = "/".join(part for part in (entry["target_type"], entry["target_id"]) if part)
    return " ".join(part for part in (entry["action"], target, entry["outcome"]) if part)


def _unmapped(entry: Entry) -> dict[str, Any]:
    """What the schema has no place for, as it was stored."""
    found: dict[str, Any] = {"details": orjson.Fragment(entry["details"])}
    if entry["changes"] is not None:
        found["changes"] = orjson.Fragment(entry["changes"])
    if entry["user_agent"] is not None:
        found["user_agent"] = entry["user_agent"]
    if entry["redactions"] is not None:
        found["redactions"] = orjson.Fragment(entry["redactions"])
    return found


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
