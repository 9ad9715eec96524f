"""`make demo`: drive a running platform, then show that every number agrees. Exit code 1 when one does not."""

import asyncio
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.table import Table

from tests.demo.activity import Happening, happenings
from tests.demo.administrator import Administrator, SignInRefused
from tests.demo.emitters import AmqpEmitter, Emitter, HttpEmitter, drop_user
from tests.demo.listener import Listener

LOCAL_URL = f"http://{os.environ.get('REEVE_HOST') or '127.0.0.1'}:{os.environ.get('REEVE_PORT') or '8080'}"
LOCAL_AMQP = "amqp://guest:guest@127.0.0.1:5672/"
SETTLE_SECONDS = 30.0


@dataclass
class Sent:
    """The ledger: what was sent and answered, kept outside the platform."""

    events: Counter[str] = field(default_factory=Counter)
    by_way: Counter[str] = field(default_factory=Counter)
    notifying: int = 0
    changes: int = 0
    change_seconds: list[float] = field(default_factory=list)

    def add(self, way: str, sent: Sequence[Happening]) -> None:
        self.by_way[way] += len(sent)
        self.events.update(one.type for one in sent)
        self.notifying += sum(one.notifies for one in sent)


@dataclass(frozen=True)
class Sender:
    """The demonstration as a platform service."""

    client_id: str
    secret: str
    source: str
    token: str


@dataclass(frozen=True)
class Plan:
    """How much, how fast, and with which story."""

    rate: float
    seconds: float
    seed: int
    changes_per_second: float


def main(
    *,
    url: Annotated[str, typer.Option(envvar="REEVE_URL", help="The platform.")] = LOCAL_URL,
    email: Annotated[str, typer.Option(envvar="REEVE_ADMIN_EMAIL")] = "admin@example.com",
    password: Annotated[str, typer.Option(envvar="REEVE_ADMIN_PASSWORD", prompt=True, hide_input=True)] = "",
    rate: Annotated[float, typer.Option(min=1, max=2000, help="Events per second.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, max=3600)] = 20,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
    changes: Annotated[float, typer.Option(min=0, max=200, help="Settings changed per second.")] = 5,
) -> None:
    """Send a believable stream of platform activity while an administrator works, and compare the numbers."""
    agreed = asyncio.run(demonstrate(url, email, password, Plan(rate, seconds, seed, changes)))
    raise typer.Exit(0 if agreed else 1)


async def demonstrate(url: str, email: str, password: str, plan: Plan) -> bool:
    """Run the plan against the platform at `url`; whether every number agrees."""
    run = secrets.token_hex(4)
    client_id, source, key = f"demo-{run}", f"/platform/demo-{run}", f"demo.run_{run}"
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        try:
            admin = await Administrator.sign_in(http, email=email, password=password)
        except httpx.ConnectError:
            print(f"demo: nothing answers at {url}; start it with `make run`", file=sys.stderr)
            return False
        except SignInRefused as error:
            print(f"demo: {error}", file=sys.stderr)
            return False
        secret = await admin.register(client_id, source)
        created = await admin.call(
            "POST", "/settings", json={"key": key, "value": 0, "value_type": "integer", "category": "demo"}
        )
        created.raise_for_status()
        token = await http.post(
            "/api/v1/oauth/token", data={"grant_type": "client_credentials"}, auth=(client_id, secret)
        )
        token.raise_for_status()
        sender = Sender(client_id, secret, source, token.json()["access_token"])
        ways = await open_ways(admin, http, sender)
        sent = Sent()
        async with Listener(http, admin).listening() as listener:
            started = time.monotonic()
            await asyncio.gather(emit(ways, plan, run, sent), work(admin, key, plan, sent))
            elapsed = time.monotonic() - started
            rows = await agreed_rows(admin, listener, sent, source=source, key=key)
        for emitter in ways.values():
            await emitter.close()
    if "AMQP" in ways:
        drop_user(client_id)
    show(sent, rows, elapsed)
    return all(expected == stored for _, expected, stored in rows)


async def open_ways(admin: Administrator, http: httpx.AsyncClient, sender: Sender) -> dict[str, Emitter]:
    """HTTP always; AMQP too where the platform uses RabbitMQ."""
    ways: dict[str, Emitter] = {"HTTP": HttpEmitter(http, sender.token, sender.source)}
    health = await admin.get("/system/health")
    broker = next(one for one in health["components"] if one["kind"] == "broker")
    if broker["figures"]["transport"] == "rabbitmq":
        amqp = await AmqpEmitter.connect(
            os.environ.get("REEVE_AMQP_URL", LOCAL_AMQP), client_id=sender.client_id, secret=sender.secret, source=sender.source,
            namespace=os.environ.get("REEVE_AMQP_NAMESPACE", ""),
        )  # fmt: skip
        Console().print(f"emitting over HTTP as {sender.client_id} and over AMQP as the broker user {amqp.user}")
        ways["AMQP"] = amqp
    else:
        Console().print(f"emitting over HTTP as {sender.client_id}; the platform uses no RabbitMQ")
    return ways


async def emit(ways: dict[str, Emitter], plan: Plan, run: str, sent: Sent) -> None:
    """Send the story at the planned rate, taking turns between the ways."""
    story = happenings(plan.seed, run)
    names = list(ways)
    started = time.monotonic()
    total, done, turn = int(plan.rate * plan.seconds), 0, 0
    while done < total:
        due = min(total, int((time.monotonic() - started) * plan.rate) + 1)
        if due > done:
            batch = list(islice(story, min(due - done, 100)))
            name = names[turn % len(names)]
            await ways[name].send(batch)
            sent.add(name, batch)
            done, turn = done + len(batch), turn + 1
        await asyncio.sleep(0.02)


async def work(admin: Administrator, key: str, plan: Plan, sent: Sent) -> None:
    """An administrator who changes a setting again and again."""
    for number in range(1, int(plan.changes_per_second * plan.seconds) + 1):
        sent.change_seconds.append(await admin.change(key, number))
        sent.changes += 1
        await asyncio.sleep(max(0.0, 1 / plan.changes_per_second - sent.change_seconds[-1]))


async def agreed_rows(
    admin: Administrator, listener: Listener, sent: Sent, *, source: str, key: str
) -> list[tuple[str, int, int]]:
    """What was expected and what is stored, asked until both agree or the time to settle is over."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        stored = Counter([entry["event_type"] async for entry in admin.pages("/audit/logs", "logs", source=source)])
        changed = [one async for one in admin.pages("/audit/logs", "logs", action="update_setting", target_id=key)]
        versions = [one async for one in admin.pages(f"/settings/{key}/history", "history")]
        told = [
            one
            async for one in admin.pages("/notifications", "notifications")
            if one["notification_metadata"].get("event_source") == source
        ]
        rows = [(f"audit: {kind}", count, stored[kind]) for kind, count in sorted(sent.events.items())]
        rows += [
            ("audit: all events of this run", sum(sent.events.values()), stored.total()),
            ("audit: settings changed", sent.changes, len(changed)),
            ("settings: versions kept", sent.changes + 1, len(versions)),
            ("notifications: made by rules", sent.notifying, len(told)),
            (
                "stream: settings changes seen live",
                sent.changes,
                listener.count("reeve.setting.changed.v1", f"setting/{key}"),
            ),
        ]
        if all(expected == found for _, expected, found in rows) or time.monotonic() > deadline:
            return rows
        await asyncio.sleep(0.5)


def show(sent: Sent, rows: Sequence[tuple[str, int, int]], elapsed: float) -> None:
    """The table of numbers."""
    console = Console()
    table = Table(title="what was sent, and what each service stored")
    for column in ("what", "sent", "stored", ""):
        table.add_column(column, justify="left" if column in ("what", "") else "right")
    for what, expected, stored in rows:
        table.add_row(what, str(expected), str(stored), "agrees" if expected == stored else "DIFFERS")
    console.print(table)
    ways = ", ".join(f"{count} over {way}" for way, count in sent.by_way.items())
    times = sorted(sent.change_seconds)
    console.print(f"{sum(sent.events.values())} events in {elapsed:.1f} s ({ways})")
    if times:
        console.print(f"{sent.changes} settings changed, median {times[len(times) // 2] * 1000:.1f} ms to the answer")


if __name__ == "__main__":
    typer.run(main)
