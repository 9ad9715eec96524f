"""The operator's commands for a service's dead letters: `dead-letters list|replay|redeliver`.

They run beside the service. What was tried is told line by line on standard output; a wrong option is one line and exit
code 2, letters that stay are exit code 1.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from libs.common.database.kept_letters import Wanted
from libs.common.delivery.redeliveries import redeliver
from libs.common.delivery.replays import Replays, Tried
from libs.common.delivery.subscriber import CLIENT_DELETED, CLIENT_REGISTERED, Subscriber
from libs.common.errors import ConfigError, Unavailable
from libs.common.events.notification_fields import plain_line
from libs.common.web.service import Service

USUAL_MOST = 1_000
MOST = 100_000
"""As many as a table holds."""
MOST_WORD = 120
NOT_LEARNED = "who may send was not changed by it: that is learned in order, from the queue alone"

RunWith = Callable[[Callable[[Service], Awaitable[None]]], None]
"""Composes the service from the environment, acts with it, and closes it."""

QueueOption = Annotated[str | None, typer.Option("--queue", help="Only of this queue.")]
MostOption = Annotated[int, typer.Option("--most", help=f"At most so many, up to {MOST:,}.")]


def dead_letters_cli(run: RunWith) -> typer.Typer:
    """The commands of one service."""
    cli = typer.Typer(no_args_is_help=True, help="What could not be applied: see it and bring it back.")

    @cli.command("list")
    def list_letters() -> None:
        """Say what lies in the table of dead letters, by queue, reason, type and sender."""
        run(_list)

    @cli.command("replay")
    def replay(
        queue: QueueOption = None,
        reason: Annotated[str, typer.Option("--reason", help="Only what was parked for a reason that begins so.")] = "",
        letter_id: Annotated[str | None, typer.Option("--id", help="Only this letter; for commands a must.")] = None,
        most: MostOption = USUAL_MOST,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Try it, and take everything back.")] = False,
    ) -> None:
        """Hold letters against what is known today, the oldest first, and apply those that fit."""
        run(partial(_replay, queue=queue, reason=reason, letter_id=letter_id, most=most, dry_run=dry_run))

    @cli.command("redeliver")
    def redeliver_parked(queue: QueueOption = None, most: MostOption = USUAL_MOST) -> None:
        """Take what the broker parked after too many deliveries out of its dead-letter queues, and apply it."""
        run(partial(_redeliver, queue=queue, most=most))

    return cli


async def _list(service: Service) -> None:
    replays = _replays(service)
    groups = await replays.summarize()
    for one in groups:
        typer.echo(
            f"{one.queue}  {_word(one.reason)}  {_word(one.type) or '-'}  from {_word(one.sender) or '-'}  {one.count}"
            f"  first {one.first_at:%Y-%m-%dT%H:%M:%SZ}  last {one.last_at:%Y-%m-%dT%H:%M:%SZ}"
        )
    if not groups:
        typer.echo("no dead letters")
    for name, reason in replays.elsewhere:
        typer.echo(f"not counted here: {reason.rstrip(':')} of {name}, which has a way of its own")


async def _replay(
    service: Service, *, queue: str | None, reason: str, letter_id: str | None, most: int, dry_run: bool
) -> None:
    _check_most(most)
    wanted = Wanted([one.intake.queue.name for one in _consumers(service, queue)], reason, _id(letter_id))
    fits = stays = 0
    try:
        async for tried in _replays(service).replay(wanted, most=most, dry_run=dry_run):
            fits, stays = fits + (tried.why is None), stays + (tried.why is not None)
            typer.echo(_line(tried, dry_run=dry_run))
    except Unavailable as error:
        typer.echo(f"stopped: {error}. What was told above is as it says, the rest is where it was.")
        raise typer.Exit(1) from None
    if letter_id is not None and not fits + stays:
        typer.echo(f"no dead letter {letter_id} lies here for these options")
        raise typer.Exit(1)
    typer.echo(f"{fits} {'would take' if dry_run else 'took'} effect, {stays} stayed")
    if stays:
        raise typer.Exit(1)


async def _redeliver(service: Service, *, queue: str | None, most: int) -> None:
    _check_most(most)
    consumers = _consumers(service, queue)
    if consumers[0].transport.kind == "embedded":
        typer.echo("nothing to redeliver: the in-process broker parks nothing, and every dead letter is in the table")
        return
    for one in consumers:
        try:
            done = await redeliver(one, source=_source(service), most=most)
        except (OSError, TimeoutError, Unavailable) as error:
            typer.echo(f"stopped at {one.intake.queue.name}: {plain_line(str(error) or 'no answer in time')}")
            raise typer.Exit(1) from None
        typer.echo(
            f"{one.intake.queue.name}: {done.taken} redelivered, {done.left} copies of dead letters left where they are,"
            f" {done.unseen} not looked at"
        )


def _line(tried: Tried, *, dry_run: bool) -> str:
    begin = f"{tried.letter.id}  {tried.letter.queue}  {_word(tried.letter.type or '') or '-'}"
    if tried.why is not None:
        return f"{begin}  stays: {plain_line(tried.why, 2 * MOST_WORD)}"
    note = f"; {NOT_LEARNED}" if tried.letter.type in (CLIENT_REGISTERED, CLIENT_DELETED) else ""
    return f"{begin}  {'would take' if dry_run else 'took'} effect{note}"


def _consumers(service: Service, queue: str | None) -> Sequence[Subscriber]:
    found: Sequence[Subscriber] = service.app.state.consumers
    chosen = [one for one in found if queue in (None, one.intake.queue.name)]
    if not chosen:
        names = ", ".join(one.intake.queue.name for one in found)
        raise ConfigError(f"--queue: must be one of {names}, got {_word(queue or '')!r}")
    return chosen


def _replays(service: Service) -> Replays:
    found = _consumers(service, None)
    return Replays(found[0].database, [one.intake for one in found], source=_source(service))


def _source(service: Service) -> str:
    return f"/reeve/{service.name}"


def _id(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise ConfigError(f"--id: must be the id of a dead letter, got {_word(text or '')!r}") from None


def _check_most(most: int) -> None:
    if not 1 <= most <= MOST:
        raise ConfigError(f"--most: must be 1..{MOST}, got {most}")


def _word(text: str) -> str:
    """What somebody else wrote, fit for a terminal."""
    return plain_line(text, MOST_WORD)
