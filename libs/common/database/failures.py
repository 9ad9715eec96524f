"""What a failure of the database means: worth another try, or not."""

import socket

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from libs.common.errors import Unavailable

TRANSIENT_STATES = {
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # lock timeout
    "57014",  # statement timeout: the machine is slow now
    "25P03",  # idle in transaction for too long
    "25P04",  # transaction timeout
    "25006",  # read-only: the server behind the address is not the primary any more
}
TRANSIENT_KINDS = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    asyncpg.InvalidCachedStatementError,
    # A statement met the server's farewell on its way: asyncpg cannot place it, and the connection is done for.
    asyncpg.InternalClientError,
)
TRANSIENT_CLASSES = {
    "08",  # connection
    "53",  # out of disk, memory or connections
    "57",  # shut down, crashed, starting up
    "58",  # input/output error
}


def is_transient(error: BaseException) -> bool:
    """Whether the same work may pass later: the connection, the load or a rival is to blame, not the work."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and _is_transient_cause(error.orig))
    return isinstance(error, Unavailable | PoolTimeout) or _is_transient_cause(error)


def unavailable(error: BaseException) -> Unavailable:
    """The error that a caller may be told about in place of `error`; an `Unavailable` stays itself."""
    if isinstance(error, Unavailable):
        return error
    return Unavailable("the database does not answer now", code="database_unavailable")


def _is_transient_cause(error: BaseException) -> bool:
    for cause in (error, error.__cause__):
        if isinstance(cause, TRANSIENT_KINDS):
            return True
        if isinstance(cause, asyncpg.InterfaceError) and "closed" in str(cause):
            return True
        state = getattr(cause, "sqlstate", None)
        if isinstance(state, str) and (state in TRANSIENT_STATES or state[:2] in TRANSIENT_CLASSES):
            return True
    return False
