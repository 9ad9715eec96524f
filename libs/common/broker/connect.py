"""Which broker a process uses: the one it is told, RabbitMQ on the local default port, or none at all."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from aiormq.exceptions import AuthenticationError, ProbableAuthenticationError
from yarl import URL

from libs.common import logs
from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.rabbitmq import connect_rabbitmq
from libs.common.broker.topology import QUEUES, Queue
from libs.common.broker.transport import Transport
from libs.common.errors import ConfigError

LOCAL_URL = "amqp://guest:guest@127.0.0.1:5672/"
EMBEDDED = "embedded"
PROBE_SECONDS = 0.5
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME_ON_CHANNEL_0 = b"\x01\x00\x00"
PAUSE_SECONDS = 0.5

log = logs.get("broker")


async def connect(
    amqp_url: str | None,
    *,
    application: str,
    namespace: str = "",
    declare: bool = True,
    queues: Sequence[Queue] = QUEUES,
    patience_seconds: float = 0,
) -> Transport:
    """The transport for `REEVE_AMQP_URL`; every call makes a new one, so one process calls once for `embedded`.

    `None` takes RabbitMQ on the local default port when one answers the AMQP handshake within 0.5 s and
    lets guest in, else the in-process transport. A broker that was named and does not let us in within
    `patience_seconds` is a ConfigError of one line, without the password.
    """
    if amqp_url == EMBEDDED:
        return EmbeddedTransport(queues=queues)
    if amqp_url is not None:
        _check(amqp_url)
        until = time.monotonic() + patience_seconds
        return await _named(
            amqp_url, until, application=application, namespace=namespace, declare=declare, queues=queues
        )
    if await answers_amqp("127.0.0.1", 5672):
        try:
            return await connect_rabbitmq(
                LOCAL_URL, namespace=namespace, application=application, declare=declare, queues=queues
            )
        except (OSError, TimeoutError) as error:
            log.warning("local RabbitMQ not used", error=str(error)[:200])
    return EmbeddedTransport(queues=queues)


async def answers_amqp(host: str, port: int) -> bool:
    """Whether something there answers the AMQP 0-9-1 protocol header with its Start method within 0.5 s."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(PROTOCOL_HEADER)
                return await reader.readexactly(3) == METHOD_FRAME_ON_CHANNEL_0
            finally:
                writer.close()
    return False


def _check(amqp_url: str) -> None:
    try:
        url = URL(amqp_url)
        is_usable = url.scheme in ("amqp", "amqps") and bool(url.host) and (url.port or 5672) > 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError("REEVE_AMQP_URL: must be `embedded` or amqp://user:password@host:port/vhost")


async def _named(
    amqp_url: str, until: float, *, application: str, namespace: str, declare: bool, queues: Sequence[Queue]
) -> Transport:
    where = _where(amqp_url)
    while True:
        try:
            return await connect_rabbitmq(
                amqp_url, namespace=namespace, application=application, declare=declare, queues=queues
            )
        except (AuthenticationError, ProbableAuthenticationError) as error:
            raise ConfigError(f"REEVE_AMQP_URL: RabbitMQ at {where} refused this user or password") from error
        except (OSError, TimeoutError) as error:
            if time.monotonic() >= until:
                reason = str(error) or "no answer in time"
                raise ConfigError(f"REEVE_AMQP_URL: cannot use RabbitMQ at {where}: {reason[:300]}") from error
        await asyncio.sleep(PAUSE_SECONDS)


def _where(amqp_url: str) -> str:
    url = URL(amqp_url)
    return f"{url.host}:{url.port or (5671 if url.scheme == 'amqps' else 5672)}"
