"""Names into addresses, once: what was judged is what is connected to."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from libs.common.egress.destinations import ForbiddenDestination, Network, check_address


class JudgingResolver(AbstractResolver):
    """Gives only addresses that may be reached; what is connected to is exactly what it gave."""

    def __init__(self, allowed: Sequence[Network], *, trusts_loopback: bool = True) -> None:
        self._allowed = allowed
        self._trusts_loopback = trusts_loopback
        self._names = ThreadedResolver(asyncio.get_running_loop())

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Every address of `host`. Raises `ForbiddenDestination` when one of them may not be reached."""
        found: list[ResolveResult] = await self._names.resolve(host, port, family)
        for one in found:
            check_address(
                ip_address(one["host"].partition("%")[0]),
                host=host,
                allowed=self._allowed,
                trusts_loopback=self._trusts_loopback,
            )
        return found

    async def close(self) -> None:
        """Let go of the resolver below."""
        await self._names.close()


def forbidden_by(error: BaseException | None) -> ForbiddenDestination | None:
    """The judgement of an address, wherever the client's own errors wrapped it."""
    seen: Any = error
    while seen is not None:
        if isinstance(seen, ForbiddenDestination):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
