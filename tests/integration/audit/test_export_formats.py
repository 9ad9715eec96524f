"""Each format holds exactly the entries that were asked for, and reads back equal."""

import csv
import gzip
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from backports import zstd
from joserfc import jws
from joserfc.jwk import KeySet

from libs.common.events.envelope import Event
from libs.common.exports.formula import restored
from services.audit.app import signer
from tests.integration.audit.archive import Archive, platform_event, request_recorded
from tests.integration.audit.exporting import Exporter

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
HOSTILE = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "'quoted", '"', '""', "a,b", "a\nb", "a\r\nb", "\\", "\\n", "\\.",
    "\uff1d1", "grün 🙈", "\u2028", "\x7f", "\x01\x02", "null", "", " ", "{}", "%s", "$1", "\x1b[31m",
]  # fmt: skip


def hostile() -> list[Event]:
    """Entries whose every text is hard to write down, at moments that are hard to write as well."""
    moments = [START, START.replace(microsecond=500000), START.replace(microsecond=1), datetime(1, 1, 1, tzinfo=UTC)]
    return [
        request_recorded(
            time=moments[number % 4], subject=f"setting/{text}",
            origin={"username": text, "user_agent": text, "request_id": text, "ip_address": f"2001:db8::{number:x}"},
            data={"action": text or "x", "note": text, "changes": {"value": {"old": text, "new": [text, 1, None]}}},
        )
        for number, text in enumerate(HOSTILE)
    ]  # fmt: skip


@pytest.fixture
async def expected(archive: Archive) -> list[dict[str, Any]]:
    """Recorded entries as the API answers them, in the order of the log."""
    await archive.record(*hostile(), platform_event(subject=None, data={}), platform_event())
    entries = [entry async for entry in archive.walk("limit=200")]
    return sorted(entries, key=lambda entry: int(entry["sequence"]))


async def test_a_jsonl_line_is_the_body_of_its_entry(exporter: Exporter, expected: list[dict[str, Any]]) -> None:
    job, content = await exporter.exported("jsonl")
    lines = content.decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == expected
    assert content == b"".join(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in expected)
    assert (job["rows"], job["progress"], job["bytes"]) == (len(expected), 1.0, len(content))


@pytest.mark.parametrize("text", ['"', "\\", "\x01", "\x1f", "\n", '","outcome":"denied'])
async def test_one_text_to_escape_in_one_member_is_enough(exporter: Exporter, archive: Archive, text: str) -> None:
    """Each member that may have such a text has it once, in an entry and a block of entries that have no other."""
    plain = {"username": "ada", "user_agent": "curl", "request_id": "r"}
    hostile = [
        *[request_recorded(origin={**plain, name: f"a{text}b"}) for name in plain],
        request_recorded(data={"action": f"a{text}b"}), request_recorded(data={"operation_id": f"a{text}b"}),
        request_recorded(actorid=f"a{text}b"), request_recorded(id=f"a{text}b"),
        request_recorded(subject=f"a{text}b/1"), request_recorded(subject=f"a/b{text}"),
        platform_event(kind=f"a{text}b"), platform_event(source=f"/a{text}b"),
    ]  # fmt: skip
    for event in hostile:
        await archive.record(event, *[platform_event() for _ in range(2)])
    expected = [entry async for entry in archive.walk("limit=200&sort=created_at")]
    expected.sort(key=lambda entry: int(entry["sequence"]))
    _, content = await exporter.exported("jsonl")
    assert content.split(b"\n") == [*(orjson.dumps(entry) for entry in expected), b""]
    holding = {name for entry in expected for name, value in entry.items() if isinstance(value, str) and text in value}
    assert holding == {
        "event_id", "event_type", "action", "target_type", "target_id", "admin_user_id", "admin_username", "user_agent",
        "request_id", "operation_id", "source",
    }  # fmt: skip


async def test_csv_reads_back_equal_and_no_cell_is_a_formula(
    exporter: Exporter, expected: list[dict[str, Any]]
) -> None:
    _, content = await exporter.exported("csv")
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert len(rows) == len(expected)
    for row, entry in zip(rows, expected, strict=True):
        assert list(row) == list(entry)
        for name, cell in row.items():
            value = entry[name]
            assert not cell.lstrip().startswith(tuple("=+-@\t\r\n\x00\uff1d\uff0b\uff0d\uff20")), (name, cell)
            if name in ("details", "changes"):
                assert (json.loads(restored(cell)) if cell else None) == value
            else:
                assert restored(cell) == ("" if value is None else str(value))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_parquet_reads_back_equal_by_another_implementation(
    exporter: Exporter, expected: list[dict[str, Any]], compression: str, tmp_path: Path
) -> None:
    job, content = await exporter.exported("parquet", compression=compression)
    path = tmp_path / "log.parquet"
    path.write_bytes(content)
    with duckdb.connect() as database:
        # As microseconds: what the test compares is the file, not how the reader makes times of it.
        found = database.execute(
            "SELECT * REPLACE (epoch_us(created_at) AS created_at, epoch_us(recorded_at) AS recorded_at)"
            f" FROM '{path}' ORDER BY sequence"
        )
        names = [column[0] for column in found.description]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        types = dict(database.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{path}')").fetchall())
    for row in rows:
        for name in ("created_at", "recorded_at"):
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row[name])
            row[name] = f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
        row["details"] = json.loads(row["details"])
        row["changes"] = json.loads(row["changes"]) if row["changes"] is not None else None
    assert rows == expected
    assert (types["sequence"], types["created_at"], types["action"]) == (
        "BIGINT", "TIMESTAMP WITH TIME ZONE", "VARCHAR",
    )  # fmt: skip
    assert job["manifest"]["file"]["name"].endswith(".parquet")
    assert job["manifest"]["file"]["sha256"] == hashlib.sha256(content).hexdigest()


async def test_ocsf_lines_name_their_entries(exporter: Exporter, expected: list[dict[str, Any]]) -> None:
    job, content = await exporter.exported("ocsf", options={"ocsf_version": "1.9.0-dev"})
    events = [json.loads(line) for line in content.splitlines()]
    assert [event["metadata"]["sequence"] for event in events] == [entry["sequence"] for entry in expected]
    assert {event["metadata"]["version"] for event in events} == {"1.9.0-dev"}
    assert [event["unmapped"]["details"] for event in events] == [entry["details"] for entry in expected]
    assert job["ocsf_version"] == "1.9.0-dev"


@pytest.mark.parametrize(("compression", "opened"), [("gzip", gzip.decompress), ("zstd", zstd.decompress)])
async def test_a_compressed_file_holds_the_same(
    exporter: Exporter, expected: list[dict[str, Any]], compression: str, opened: Any
) -> None:
    _, plain = await exporter.exported("jsonl")
    job, packed = await exporter.exported("jsonl", compression=compression)
    assert opened(packed) == plain
    assert (job["compression"], job["bytes"]) == (compression, len(packed))


async def test_only_what_the_filters_find_is_written(exporter: Exporter, archive: Archive) -> None:
    await archive.record(*hostile(), platform_event(id="order"), platform_event(id="late", time=START))
    _, content = await exporter.exported(
        "jsonl", filters={"source": "/platform/shop", "date_to": "2026-01-11", "ip_address": []}
    )
    assert [json.loads(line)["event_id"] for line in content.splitlines()] == ["late"]
    _, nothing = await exporter.exported("jsonl", filters={"q": "no-such-word"})
    assert nothing == b""


@pytest.mark.parametrize("export_format", ["jsonl", "csv", "parquet", "ocsf"])
async def test_an_empty_log_makes_an_empty_file(exporter: Exporter, export_format: str) -> None:
    job, content = await exporter.exported(export_format)
    assert (job["rows"], job["state"]) == (0, "succeeded")
    if export_format == "csv":
        assert content.count(b"\r\n") == 1


async def test_the_manifest_is_signed_and_says_what_the_file_is(
    exporter: Exporter, expected: list[dict[str, Any]]
) -> None:
    job, content = await exporter.exported("jsonl", filters={"outcome": "success"}, compression="gzip")
    keys = KeySet.import_key_set((await exporter.get("/keys")).json())
    signed = jws.deserialize_compact(job["manifest_jws"], keys, algorithms=["Ed25519"])
    manifest = json.loads(signed.payload)
    assert manifest == job["manifest"]
    assert manifest["file"] == {
        "name": f"reeve-audit-{job['id']}.jsonl.gz", "format": "jsonl", "compression": "gzip", "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    assert (manifest["rows"], manifest["query"], manifest["snapshot"]) == (
        len(expected), {"outcome": ["success"]}, len(expected),
    )  # fmt: skip
    assert manifest["checkpoint"] is None
    head, payload, signature = job["manifest_jws"].split(".")
    with pytest.raises(Exception, match="bad_signature"):
        jws.deserialize_compact(f"{head}.{payload[:-2]}AA.{signature}", keys, algorithms=["Ed25519"])


async def test_the_manifest_carries_the_signed_head_over_what_it_has(
    exporter: Exporter, expected: list[dict[str, Any]]
) -> None:
    await exporter.archive.sequence()
    assert await signer(exporter.built.config, exporter.built.database).turn()
    job, _ = await exporter.exported("jsonl")
    found = await exporter.archive.get("/log/checkpoint", permission="audit:verify")
    assert job["manifest"]["checkpoint"] == found.text
    assert int(found.text.splitlines()[1]) == len(expected)
