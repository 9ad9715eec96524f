"""The one tree of errors that a caller may be told about.

A class says what is wrong and carries a stable machine `code`; `status` is its HTTP rendering,
which `libs.common.web.errors` alone turns into a response. `extra` are further members of the
body; they are published, so no secret and nothing of the inside may go in.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class ReeveError(Exception):
    """Something that went wrong and that the caller may know about."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.headers = dict(headers or {})
        self.extra = extra

    def detail(self) -> dict[str, Any]:
        """The `detail` member of the error body."""
        return {"error": self.code, "message": self.message, **self.extra}


class BadRequest(ReeveError):
    """The request cannot be understood, or lacks something that its route demands."""

    status = 400
    default_code = "bad_request"


class Unauthenticated(ReeveError):
    """Nobody is known to be calling."""

    status = 401
    default_code = "not_authenticated"

    def __init__(self, message: str, *, code: str | None = None, challenge: str = "Bearer", **extra: Any) -> None:
        super().__init__(message, code=code, headers={"WWW-Authenticate": challenge}, **extra)


class Forbidden(ReeveError):
    """The caller is known and may not do this."""

    status = 403
    default_code = "forbidden"


class NotFound(ReeveError):
    """There is no such thing, or none that this caller may see."""

    status = 404
    default_code = "not_found"


class Conflict(ReeveError):
    """The state of the thing does not allow this."""

    status = 409
    default_code = "conflict"


class Gone(ReeveError):
    """It was there once and never will be again."""

    status = 410
    default_code = "gone"


class PreconditionFailed(ReeveError):
    """`If-Match` named another version than the current one (RFC 9110, 13.1.1)."""

    status = 412
    default_code = "version_conflict"


class TooLarge(ReeveError):
    """The body is over its limit."""

    status = 413
    default_code = "body_too_large"


class Invalid(ReeveError):
    """Well-formed, and yet not acceptable."""

    status = 422
    default_code = "invalid"


class RateLimited(ReeveError):
    """The caller is over a limit; `Retry-After` says for how many seconds."""

    status = 429
    default_code = "rate_limited"

    def __init__(self, message: str, *, code: str | None = None, retry_after_seconds: int = 1, **extra: Any) -> None:
        super().__init__(message, code=code, headers={"Retry-After": str(max(1, retry_after_seconds))}, **extra)


class Unavailable(ReeveError):
    """Something behind us does not answer now; the same request may pass later."""

    status = 503
    default_code = "unavailable"

    def __init__(self, message: str, *, code: str | None = None, retry_after_seconds: int = 1, **extra: Any) -> None:
        super().__init__(message, code=code, headers={"Retry-After": str(max(1, retry_after_seconds))}, **extra)


class ConfigError(Exception):
    """A wrong environment: one clear line for the operator, exit code 2."""
