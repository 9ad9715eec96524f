"""Two consumers with the classic mistakes, as programs: the checker must find what they do.

`python -m tests.faults.planted early-ack` is an audit service that acknowledges before it commits;
`python -m tests.faults.planted no-inbox` is one that never asks whether it has seen an event before.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import typer

from libs.common.broker.topology import AUDIT_EVENTS
from libs.common.broker.transport import Subscription
from libs.common.command import run_process
from libs.common.crashpoint import crashpoint
from libs.common.delivery.ahead import Opened
from libs.common.delivery.arrivals import Arrived, Parked
from libs.common.delivery.subscriber import Subscriber
from libs.common.events.all_types import CATALOG
from libs.common.start import open_database, open_transport
from services.audit.config import Config
from services.audit.handlers import Recorder

cli = typer.Typer(add_completion=False)


class AcknowledgesEarly(Subscriber):
    """Tells the broker that it has a message before the database has it."""

    async def _turn(self, subscription: Subscription, messages: Sequence[Opened]) -> None:
        clients = await self._known_clients()
        arrived = [one for opened in messages for one in self._judged(opened, clients, [])]
        await subscription.settle([opened.delivery for opened in messages])
        await asyncio.sleep(0.05)
        await self._apply(arrived, ())


class ForgetsWhatItSaw(Subscriber):
    """Applies whatever comes, as often as it comes."""

    async def _commit(
        self, arrived: Sequence[Arrived], parked: Sequence[Parked]
    ) -> tuple[Sequence[Arrived], Sequence[Parked]]:
        async with self.database.transaction() as session:
            await self.intake.handle(session, arrived)
            crashpoint("cons.before_commit")
        return arrived, ()


MISTAKES = {"early-ack": AcknowledgesEarly, "no-inbox": ForgetsWhatItSaw}


@cli.command()
def run(mistake: str) -> None:
    """Consume as the audit service does, with one mistake."""
    raise typer.Exit(run_process(partial(_run, MISTAKES[mistake])))


async def _run(kind: type[Subscriber]) -> None:
    config = Config.load()
    database = open_database(config, "audit")
    transport = await open_transport(config, "audit")
    await kind(database, transport, AUDIT_EVENTS, handle=Recorder().record_events, catalog=CATALOG).run()


if __name__ == "__main__":
    cli()
