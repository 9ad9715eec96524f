"""One request of an anchor: to a judged address alone, within its time, without redirections; what fails is told in one line."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import aiohttp

from libs.common.egress.destinations import ForbiddenDestination, Network, check_url
from libs.common.egress.resolver import forbidden_by
from libs.common.egress.session import judged_session
from services.audit.anchors.anchor import AnchorFailed

Judge = Callable[[str, Sequence[Network]], None]
"""Raises `ForbiddenDestination` for a URL that must not be asked."""


def only_tls(url: str, allowed: Sequence[Network]) -> None:
    """The usual judgement: HTTPS, or plain HTTP within what the operator allows."""
    check_url(url, allowed=allowed)


@asynccontextmanager
async def asking(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    who: str,
    allowed: Sequence[Network],
    seconds: float,
    judge: Judge = only_tls,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer of `who` to a POST, of which nothing was read yet. Raises `AnchorFailed`, also for a failure within the block."""
    try:
        judge(url, allowed)
        async with (
            judged_session(allowed, most_connections=1, seconds=seconds) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            yield answer
    except ForbiddenDestination as error:
        raise AnchorFailed(str(error)) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if (forbidden := forbidden_by(error)) is not None:
            raise AnchorFailed(str(forbidden)) from None
        raise AnchorFailed(f"{who} cannot be reached: {type(error).__name__}") from error


async def content_of(answer: aiohttp.ClientResponse, *, most: int, who: str) -> bytes:
    """The whole body. Raises `AnchorFailed` once it has more than `most` bytes."""
    content = await answer.content.read(most + 1)
    while len(content) <= most and (more := await answer.content.read(most)):
        content += more
    if len(content) > most:
        raise AnchorFailed(f"{who}'s answer has more than {most} bytes")
    return content
