"""Which failures of the database are worth another try."""

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from libs.common.database.failures import is_transient, unavailable
from libs.common.errors import Conflict, Unavailable

TRANSIENT = [
    asyncpg.SerializationError("x"),
    asyncpg.DeadlockDetectedError("x"),
    asyncpg.LockNotAvailableError("x"),
    asyncpg.QueryCanceledError("x"),
    asyncpg.AdminShutdownError("x"),
    asyncpg.CannotConnectNowError("x"),
    asyncpg.TooManyConnectionsError("x"),
    asyncpg.DiskFullError("x"),
    asyncpg.ConnectionDoesNotExistError("x"),
    asyncpg.ReadOnlySQLTransactionError("x"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    ConnectionRefusedError(),
    TimeoutError(),
    PoolTimeout(),
    Unavailable("x"),
]
LASTING = [
    asyncpg.UniqueViolationError("x"),
    asyncpg.CheckViolationError("x"),
    asyncpg.UndefinedTableError("x"),
    asyncpg.InsufficientPrivilegeError("x"),
    asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
    PermissionError(),
    Conflict("x"),
    ValueError("x"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: type(error).__name__)
def test_what_may_pass_later_is_transient(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=lambda error: type(error).__name__)
def test_what_never_passes_is_not(error: Exception) -> None:
    assert not is_transient(error)


def test_what_sqlalchemy_wraps_is_seen_through() -> None:
    assert is_transient(OperationalError("x", None, asyncpg.DeadlockDetectedError("x")))
    assert not is_transient(IntegrityError("x", None, asyncpg.UniqueViolationError("x")))


def test_an_invalidated_connection_is_transient() -> None:
    assert is_transient(OperationalError("x", None, ValueError("x"), connection_invalidated=True))


def test_the_caller_hears_nothing_of_the_inside() -> None:
    told = unavailable(ConnectionRefusedError("10.0.0.7:5432 refused"))
    assert told.detail() == {"error": "database_unavailable", "message": "the database does not answer now"}


def test_unavailable_stays_itself() -> None:
    first = Unavailable("x", code="audit_unavailable")
    assert unavailable(first) is first
