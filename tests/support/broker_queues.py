"""What lies in the queues of a platform's namespace on a real RabbitMQ, without taking it."""

from collections.abc import Sequence

import aio_pika

from libs.common.broker.declare import Names
from libs.common.broker.topology import QUEUES, Queue

MOST_LOOKED_AT = 1000


async def lying_in(url: str, namespace: str, *, queues: Sequence[Queue] = QUEUES) -> list[tuple[str, bytes]]:
    """Body and headers of each message that waits in a queue, or lies in its dead-letter queue, named by the queue."""
    names = Names(namespace)
    found: list[tuple[str, bytes]] = []
    connection = await aio_pika.connect(url, timeout=10)
    async with connection:
        for queue in queues:
            for name in (queue.name, queue.dead):
                channel = await connection.channel()
                declared = await channel.declare_queue(names.on_broker(name), passive=True)
                waiting = declared.declaration_result.message_count or 0
                # What is taken without an acknowledgement goes back when the channel closes.
                for _ in range(min(waiting, MOST_LOOKED_AT)):
                    message = await declared.get(fail=False, timeout=5)
                    if message is not None:
                        found.append((name, message.body + str(message.headers).encode()))
                await channel.close()
    return found
