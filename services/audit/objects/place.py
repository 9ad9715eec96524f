"""Where objects lie and under which names, and what is asked of the storage for each; pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

from libs.common.events.sinks import S3Target

LOCK_MODES = {"governance": "GOVERNANCE", "compliance": "COMPLIANCE"}


def url_of(target: S3Target, name: str) -> str:
    """The URL of an object, its name encoded as Signature Version 4 wants it: all but unreserved characters and `/`."""
    key = quote(f"{target.prefix}{name}", safe="/")
    scheme, _, host = target.endpoint.partition("://")
    if target.addressing == "virtual_host":
        return f"{scheme}://{target.bucket}.{host}/{key}"
    return f"{scheme}://{host}/{target.bucket}/{key}"


def path_of(url: str) -> str:
    """What is signed of a URL beside its host."""
    return urlsplit(url).path


def wishes_of(target: S3Target, *, now: datetime) -> Mapping[str, str]:
    """The headers by which an object is encrypted, locked from now on, and never replaced, where that was asked for."""
    wishes: dict[str, str] = {}
    if target.encryption is not None:
        wishes["x-amz-server-side-encryption"] = target.encryption
    if target.kms_key_id is not None:
        wishes["x-amz-server-side-encryption-aws-kms-key-id"] = target.kms_key_id
    if target.retain_days is not None:
        until = (now.astimezone(UTC) + timedelta(days=target.retain_days)).replace(microsecond=0)
        wishes["x-amz-object-lock-mode"] = LOCK_MODES[target.retain_mode]
        wishes["x-amz-object-lock-retain-until-date"] = until.isoformat().replace("+00:00", "Z")
    if target.write_once:
        wishes["if-none-match"] = "*"
    return wishes
