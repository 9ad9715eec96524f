"""The table of figures: what was measured, beside what it is compared with and what was aimed at."""

from collections.abc import Iterator
from typing import Any

Row = tuple[str, str, str, str]
HEAD: Row = ("what", "measured", "beside", "aim")


def rows_of(figures: dict[str, Any]) -> list[Row]:
    """One row a figure."""
    return list(_rows(figures))


def _rows(figures: dict[str, Any]) -> Iterator[Row]:
    if "permission_check" in figures:
        check = figures["permission_check"]
        yield (
            "permission check, held by name",
            f"{check['admin_us']} us",
            f"through * {check['super_admin_us']} us",
            "",
        )
    if "internal_clients" in figures:
        clients = figures["internal_clients"]
        yield (
            "internal read, one at a time: in-process ASGI", f"{clients['in_process_asgi_us']} us",
            f"aiohttp {clients['aiohttp_us']} us, httpx {clients['httpx_us']} us", "",
        )  # fmt: skip
    if "access" in figures:
        yield from _access(figures["access"])
    for name in ("rabbitmq", "embedded"):
        if f"platform_{name}" in figures:
            yield from _platform(name, figures[f"platform_{name}"])
    if "audit" in figures:
        yield from _audit(figures["audit"])
        one = figures["integration"]
        yield (
            f"from an entry's commit into the tree, at {one['per_second']}/s",
            f"p50 {one['tree']['p50_ms']} p99 {one['tree']['p99_ms']} ms",
            f"below a signed head p50 {one['signed']['p50_ms']} p99 {one['signed']['p99_ms']} ms", "p99 < 1000 ms",
        )  # fmt: skip
    if "log" in figures:
        yield from _log(figures["log"])
    if "verifier" in figures:
        yield from _verifier(figures["verifier"])
    if "exports" in figures:
        yield from _exports(figures["exports"])
    for name, relay in figures.get("relay", {}).items():
        yield (
            f"relay, {name.replace('_', ' ')}", f"{relay['relay_per_second']} rows/s",
            f"publisher alone {relay['publisher_per_second']}/s, ratio {relay['ratio']}", "",
        )  # fmt: skip
    if "broker" in figures:
        broker = figures["broker"]
        yield (
            "publish, 500 in flight",
            f"{broker['rabbitmq_publish']:.0f}/s",
            f"aio-pika alone {broker['aio_pika_publish']:.0f}/s",
            "",
        )
        yield (
            "consume and settle",
            f"{broker['rabbitmq_consume']:.0f}/s",
            f"aio-pika alone {broker['aio_pika_consume']:.0f}/s",
            "",
        )


def _access(found: dict[str, Any]) -> Iterator[Row]:
    own, mixed, spread, unknown = found["own_read"], found["mixed"], found["spread"], found["unknown_keys"]
    yield (
        "gateway alone, a read it answers itself, 64 connections", f"{own['per_second']}/s, p99 {own['p99_ms']} ms",
        f"bare FastAPI {own['bare_per_second']}/s: {own['times_bare']} times as long", "<= 2.5 times",
    )  # fmt: skip
    yield (
        f"who calls and what they may do, {mixed['admins']} admins, {mixed['per_second']}/s",
        f"{mixed['hit_share']:.2%} from the cache, p99 <= {mixed['check_p99_ms']} ms", "", ">= 99%, p99 < 1 ms",
    )  # fmt: skip
    yield (
        f"a changed role holds on {spread['gateways']} gateways", f"p50 {spread['p50_ms']} p99 {spread['p99_ms']} ms",
        f"{spread['changes']} changes, longest {spread['max_ms']} ms", "p99 < 1000 ms",
    )  # fmt: skip
    yield (
        f"{unknown['tokens']} tokens with unknown keys at {unknown['per_second']:.0f}/s",
        f"{unknown['fetches']} fetch of the key set, refused p99 {unknown['refused_p99_ms']} ms",
        f"others meanwhile p99 {unknown['served_p99_ms']} ms", "at most 1 fetch, p99 < 50 ms",
    )  # fmt: skip


def _platform(name: str, found: dict[str, Any]) -> Iterator[Row]:
    for connections in ("1", "16", "64"):
        read = found["reads"][connections]
        ours, bare = read["reeve"], read["bare_fastapi"]
        yield (
            f"[{name}] GET settings, {connections} connections", f"{ours['per_second']}/s, p50 {ours['p50_ms']} p99 {ours['p99_ms']} ms",
            f"bare FastAPI {bare['per_second']}/s, p50 {bare['p50_ms']} p99 {bare['p99_ms']} ms, ratio {read['throughput_ratio']}",
            ">= 1500/s" if connections != "1" else "",
        )  # fmt: skip
    writes = found["writes"]
    closed = writes["closed_16"]
    yield (
        f"[{name}] PUT setting, 16 connections",
        f"{closed['per_second']}/s, p50 {closed['p50_ms']} p99 {closed['p99_ms']} ms",
        "",
        ">= 500/s",
    )
    for rate in ("50", "200"):
        paced = writes[f"paced_{rate}"]
        yield (f"[{name}] PUT setting at {rate}/s", f"p50 {paced['p50_ms']} p99 {paced['p99_ms']} ms", "", "")
    latency = found["latency"]
    for what in ("audit", "stream"):
        one = latency[what]
        yield (
            f"[{name}] commit to {what} at {latency['writes_per_second']}/s", f"p50 {one.get('p50_ms')} p99 {one.get('p99_ms')} ms",
            f"{one['count']} of {latency['expected']}", "p99 < 50 ms",
        )  # fmt: skip


def _audit(found: dict[str, Any]) -> Iterator[Row]:
    for name, aim in (("single", ">= 8000/s"), ("packed", ">= 20000/s and 0.35 of COPY")):
        one, copied = found[f"{name}_per_second"], found[f"{name}_copy_per_second"]
        yield (
            f"audit from RabbitMQ, {name}",
            f"{one:.0f} events/s",
            f"COPY of the same rows {copied:.0f}/s, ratio {one / copied:.2f}",
            aim,
        )


def _log(found: dict[str, Any]) -> Iterator[Row]:
    slowest = sorted(found["filters"].items(), key=lambda one: -one[1]["p99_ms"])
    yield (
        f"search among {found['rows']} entries, {len(slowest)} kinds of filter, with its count",
        f"slowest p99 {slowest[0][1]['p99_ms']} ms ({slowest[0][0]})",
        ", ".join(f"{name} {one['p99_ms']}" for name, one in slowest[1:5]), "p99 < 100 ms",
    )  # fmt: skip
    yield (
        f"page {found['far_page']} by cursor", f"{found['far_page_ms']} ms",
        f"first page {found['first_page_ms']} ms, ratio {found['far_ratio']}", "<= 1.2 times",
    )  # fmt: skip
    for point in found["curve"]:
        yield (
            f"log of {point['rows']} entries", f"{point['fill_per_second']} rows/s made and stored, slowest p99 {point['worst_p99_ms']} ms",
            f"first page {point['first_page_ms']} ms", "",
        )  # fmt: skip


def _verifier(found: dict[str, Any]) -> Iterator[Row]:
    for form in ("export", "tiles", "dump"):
        one = found[form]
        yield (
            f"offline verifier, {form}, {found['entries']} entries",
            f"{one['seconds']} s, {found['entries'] / one['seconds']:.0f}/s, exit code {one['exit_code']}",
            f"hashing the leaves on one core {found['hashing_seconds']} s",
            "1,000,000 in < 30 s, exit code 0",
        )


def text_table(machine: dict[str, Any], rows: list[Row]) -> str:
    """The table in plain text."""
    widths = [max(len(row[place]) for row in (HEAD, *rows)) for place in range(4)]
    head = [f"{name}: {value}" for name, value in machine.items()]
    rule: Row = tuple("-" * width for width in widths)  # type: ignore[assignment]
    body = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (HEAD, rule, *rows)
    ]
    return "\n".join([*head, "", *body]) + "\n"


def _exports(found: dict[str, Any]) -> Iterator[Row]:
    copied = found["copy"]
    for name, aim in (("jsonl", ">= 0.6 of COPY"), ("jsonl_zstd", ""), ("csv", ""), ("parquet_zstd", "")):
        yield (
            f"export of {found['rows']} entries, {name.replace('_', ' ')}",
            f"{found[name]} rows/s",
            f"COPY TO STDOUT csv {copied}/s, ratio {found[name] / copied:.2f}",
            aim,
        )
