"""Identifiers: UUIDv7 (RFC 9562, 5.7), in text and as `uuid.UUID`."""

import re
from uuid import UUID

import uuid_utils

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")


def new_id() -> str:
    """A new UUIDv7 in its 36-character text form; later ids sort after earlier ones of this process."""
    return str(uuid_utils.uuid7())


def new_uuid() -> UUID:
    """A new UUIDv7 as the standard library's type."""
    return UUID(int=uuid_utils.uuid7().int)


def request_id(offered: str | None) -> str:
    """The caller's request id when it is 8-128 characters of `[A-Za-z0-9._-]`, else a new one."""
    if offered is not None and REQUEST_ID.fullmatch(offered):
        return offered
    return new_id()
