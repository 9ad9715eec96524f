"""`make bench`: measure on this machine and write the table, as text and as JSON, to bench-results/."""

import asyncio
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from libs.common.ids import new_id
from tests.bench.access_figures import access_figures
from tests.bench.audit_figures import audit_figures
from tests.bench.broker_figures import broker_figures
from tests.bench.export_figures import export_figures
from tests.bench.http_figures import read_figures, write_figures
from tests.bench.inside_figures import client_figures, permission_figures
from tests.bench.integration_figures import integration_figures
from tests.bench.latency_figures import latency_figures
from tests.bench.log_figures import log_figures
from tests.bench.platform_process import running_platform
from tests.bench.relay_figures import relay_figures
from tests.bench.table import rows_of, text_table
from tests.bench.verifier_figures import verifier_figures
from tests.support.postgres import found_postgres
from tests.support.rabbitmq import found_rabbitmq, remove_namespace

RESULTS = Path("bench-results")


def main(
    *,
    seconds: Annotated[float, typer.Option(min=2, max=120, help="How long each HTTP figure is measured.")] = 8,
    rows: Annotated[int, typer.Option(min=4000, help="Outbox rows for the relay.")] = 40_000,
    entries: Annotated[
        int, typer.Option(min=1000, help="Entries for the offline verifier; 10000000 needs 60 GB.")
    ] = 1_000_000,
    logged: Annotated[
        int, typer.Option(min=4000, help="Entries of the log that is searched; 10000000 needs 15 GB.")
    ] = 1_000_000,
    exported: Annotated[int, typer.Option(min=10_000, help="Entries of the log that is exported.")] = 200_000,
    only: Annotated[
        str,
        typer.Option(
            help="Some of inside,access,broker,relay,audit,log,exports,verifier,http by commas; all when empty."
        ),
    ] = "",
) -> None:
    """Measure, print and keep."""
    wanted = (
        set(only.split(","))
        if only
        else {"inside", "access", "broker", "relay", "audit", "log", "exports", "verifier", "http"}
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(
            measure(wanted, seconds=seconds, rows=rows, logged=logged, entries=entries, exported=exported)
        )
    table = text_table(figures["machine"], rows_of(figures))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "figures.json").write_text(json.dumps(figures, indent=2, default=str))
    (RESULTS / "table.txt").write_text(table)
    print(table)


async def measure(
    wanted: set[str], *, seconds: float, rows: int, logged: int, entries: int, exported: int
) -> dict[str, Any]:
    """All figures that are wanted, one after the other, so that none disturbs another."""
    figures: dict[str, Any] = {"machine": machine(), "at": datetime.now(UTC).isoformat()}
    if "inside" in wanted:
        tell("permission check and internal clients")
        figures["permission_check"] = permission_figures()
        figures["internal_clients"] = await client_figures()
    if "verifier" in wanted:
        tell(f"offline verifier, {entries} entries")
        figures["verifier"] = verifier_figures(entries=entries)
    if not wanted - {"inside", "verifier"}:
        return figures
    async with found_postgres() as admin_url, found_rabbitmq() as amqp_url:
        if "access" in wanted:
            tell("access")
            figures["access"] = await access_figures(admin_url, amqp_url, seconds=seconds)
        if "broker" in wanted:
            tell("broker")
            figures["broker"] = vars_of(await broker_figures(amqp_url))
        if "relay" in wanted:
            tell("relay")
            figures["relay"] = await relay_figures(admin_url, rows=rows)
        if "audit" in wanted:
            tell("audit")
            figures["audit"] = await audit_figures(admin_url, amqp_url)
            figures["integration"] = await integration_figures(admin_url, seconds=seconds)
        if "log" in wanted:
            tell(f"searching {logged} entries")
            figures["log"] = await log_figures(admin_url, rows=logged)
        if "exports" in wanted:
            tell("exports")
            figures["exports"] = await export_figures(admin_url, rows=exported)
        if "http" in wanted:
            for name, url in (("rabbitmq", amqp_url), ("embedded", None)):
                figures[f"platform_{name}"] = await platform_figures(url, seconds=seconds)
    return figures


async def platform_figures(amqp_url: str | None, *, seconds: float) -> dict[str, Any]:
    """Reads, writes and latencies of the platform in one process, over RabbitMQ or in-process."""
    namespace = f"bench-{new_id()[-12:]}"
    kind = "RabbitMQ" if amqp_url else "in-process transport"
    try:
        async with running_platform(amqp_url=amqp_url, namespace=namespace) as running:
            tell(f"reads ({kind})")
            reads = await read_figures(running, seconds=seconds)
            tell(f"writes ({kind})")
            writes = await write_figures(running, seconds=seconds)
            tell(f"latency to audit and stream ({kind})")
            latency = await latency_figures(running, rate=200, seconds=seconds)
    finally:
        if amqp_url:
            await remove_namespace(amqp_url, namespace)
    return {"reads": reads, "writes": writes, "latency": latency}


def machine() -> dict[str, Any]:
    """What this machine is, as far as it can be told without asking it much."""
    model = "unknown"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "cores": os.cpu_count(), "cpu": model, "system": platform.platform(), "python": platform.python_version(),
        "load_before": [round(one, 2) for one in os.getloadavg()], "commit": commit,
    }  # fmt: skip


def vars_of(found: Any) -> dict[str, Any]:
    """A frozen dataclass as a dictionary."""
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def tell(what: str) -> None:
    """Say what is being measured."""
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
