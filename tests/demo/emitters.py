"""Sends happenings as CloudEvents, made by the CloudEvents SDK: over HTTP, and over AMQP where RabbitMQ is used."""

import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

import aio_pika
import httpx
from cloudevents.core.bindings.rabbitmq import to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from libs.common.ids import new_id
from tests.demo.activity import Happening

BATCH = "application/cloudevents-batch+json"
FORMAT = JSONFormat()


class Emitter(Protocol):
    """Sends some happenings and returns once the platform has taken responsibility for them."""

    async def send(self, happenings: Sequence[Happening]) -> None: ...

    async def close(self) -> None: ...


def cloud_event(happening: Happening, source: str) -> CloudEvent:
    """The SDK's event of a happening."""
    return CloudEvent(
        attributes={
            "id": new_id(), "source": source, "type": happening.type, "specversion": "1.0", "subject": happening.subject,
            "time": datetime.now(UTC), "datacontenttype": "application/json", "severitytext": happening.severity,
        },
        data=happening.data,
    )  # fmt: skip


class HttpEmitter:
    """Batches over HTTP with the client's own access token."""

    def __init__(self, http: httpx.AsyncClient, token: str, source: str) -> None:
        self._http = http
        self._headers = {"authorization": f"Bearer {token}", "content-type": BATCH}
        self._source = source

    async def send(self, happenings: Sequence[Happening]) -> None:
        bodies = [FORMAT.write(cloud_event(one, self._source)) for one in happenings]
        response = await self._http.post(
            "/api/v1/events", headers=self._headers, content=b"[" + b",".join(bodies) + b"]"
        )
        response.raise_for_status()
        assert response.json() == {"accepted": len(happenings)}

    async def close(self) -> None:
        """The HTTP client is its owner's."""


class AmqpEmitter:
    """One message an event, confirmed, as the broker user that bears the client's id where one can be made."""

    def __init__(
        self,
        connection: aio_pika.abc.AbstractConnection,
        exchange: aio_pika.abc.AbstractExchange,
        user: str,
        source: str,
    ) -> None:
        self._connection = connection
        self._exchange = exchange
        self.user = user
        self._source = source

    @classmethod
    async def connect(cls, amqp_url: str, *, client_id: str, secret: str, source: str, namespace: str) -> "AmqpEmitter":
        """Connect as the client's own user, made for it with rabbitmqctl; else as the URL's own user."""
        url = urlsplit(amqp_url)
        exchange_name = f"{namespace}.reeve.events" if namespace else "reeve.events"
        own = make_user(client_id, secret, exchange_name) if url.hostname in ("127.0.0.1", "localhost") else False
        login = f"{client_id}:{secret}" if own else f"{url.username}:{url.password}"
        connection = await aio_pika.connect(
            f"{url.scheme}://{login}@{url.hostname}:{url.port or 5672}{url.path}", timeout=5
        )
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.get_exchange(exchange_name, ensure=False)
        return cls(connection, exchange, client_id if own else str(url.username), source)

    async def send(self, happenings: Sequence[Happening]) -> None:
        for happening in happenings:
            made = to_structured(cloud_event(happening, self._source), FORMAT)
            message = aio_pika.Message(
                made.body, content_type=made.content_type, headers=dict(made.headers), user_id=self.user,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )  # fmt: skip
            await self._exchange.publish(message, routing_key=happening.type, mandatory=True, timeout=10)

    async def close(self) -> None:
        await self._connection.close()


def make_user(name: str, password: str, exchange: str) -> bool:
    """A broker user that may write to the events exchange and nothing else; False where we may not make one."""
    control = shutil.which("rabbitmqctl")
    if control is None:
        return False
    steps = (
        ["add_user", name, password],
        ["set_permissions", "-p", "/", name, "^$", f"^{exchange.replace('.', '[.]')}$", "^$"],
    )
    return all(
        subprocess.run([control, "-q", *step], capture_output=True, timeout=60, check=False).returncode == 0
        for step in steps
    )


def drop_user(name: str) -> None:
    """Remove the demonstration's user again."""
    control = shutil.which("rabbitmqctl")
    if control is not None:
        subprocess.run([control, "-q", "delete_user", name], capture_output=True, timeout=60, check=False)
