"""Sessions of aiohttp whose every connection goes to an address that was judged."""

from collections.abc import Sequence

import aiohttp

from libs.common.egress.destinations import Network
from libs.common.egress.resolver import JudgingResolver


def judged_session(
    allowed: Sequence[Network], *, trusts_loopback: bool = True, most_connections: int, seconds: float | None = None
) -> aiohttp.ClientSession:
    """A new session: names resolved once, no cookies, no proxy variables, answers as they came.

    `seconds` bound a whole request; None where the caller bounds the time. Addresses that a URL spells out pass no
    resolver: whoever has one calls `check_url` first. Must be made inside a running loop, and closed.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=most_connections,
            resolver=JudgingResolver(allowed, trusts_loopback=trusts_loopback),
            use_dns_cache=False,
        ),
        timeout=aiohttp.ClientTimeout(total=seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )
