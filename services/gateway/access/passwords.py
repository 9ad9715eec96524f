"""Passwords and client secrets: argon2id, off the event loop, a bounded number at once.

A check against nothing takes as long as a real one, so that the time of an answer does not tell
whether an account exists.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from libs.common.errors import Unavailable
from services.gateway.access.weakness import normalized

Answer = TypeVar("Answer")

THREADS = 2
MOST_WAITING = 64
"""Checks that may wait for a thread: past it sign-ins are refused at once instead of piling up."""


class Passwords:
    """Hashes and checks. The default cost is RFC 9106's second choice: 64 MiB, three passes."""

    def __init__(self, parameters: Parameters = RFC_9106_LOW_MEMORY, *, most_waiting: int = MOST_WAITING) -> None:
        self._hasher = PasswordHasher.from_parameters(parameters)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._most_waiting = most_waiting
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """The hash to keep, in PHC string form."""
        return await self._run(self._hash, password)

    async def check(self, password: str, kept: str | None) -> bool:
        """Whether the password is the one that was kept; False, as slowly, when none was."""
        return await self._run(self._check, password, kept)

    def is_outdated(self, kept: str) -> bool:
        """Whether a hash was made at another cost than today's."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., Answer], *arguments: str | None) -> Answer:
        if self._waiting >= self._most_waiting:
            raise Unavailable("too many sign-ins at once", code="sign_in_overloaded")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def _hash(self, password: str) -> str:
        return self._hasher.hash(normalized(password))

    def _check(self, password: str, kept: str | None) -> bool:
        try:
            self._hasher.verify(kept or self._nobody, normalized(password))
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None


def generated() -> str:
    """A new password or client secret of 144 random bits, in URL-safe characters."""
    return secrets.token_urlsafe(18)
