"""A growing file is whole at every checkpoint, and another goes on behind it."""

import gzip
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from libs.common.exports.files import CHUNK_BYTES, COMPRESSIONS, ByteFile, Compression, digest, remove_strays

OPENED: dict[str, Callable[[bytes], bytes]] = {"none": bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}


@pytest.mark.parametrize("compression", COMPRESSIONS)
async def test_what_lies_before_a_checkpoint_is_a_whole_file(tmp_path: Path, compression: Compression) -> None:
    path = tmp_path / "one"
    file = ByteFile(path, compression)
    await file.write(b"first\n")
    first = await file.checkpoint()
    assert await file.checkpoint() == first, "nothing new, nothing written"
    await file.write(b"second\n" * 100_000)
    await file.abandon()
    assert OPENED[compression](path.read_bytes()[:first]) == b"first\n"

    other = ByteFile(tmp_path / "two", compression)
    await other.go_on(path, first)
    await other.write(b"third\n")
    size = await other.finish()

    content = (tmp_path / "two").read_bytes()
    assert len(content) == size
    assert OPENED[compression](content) == b"first\nthird\n"
    assert other.sha256 == digest(tmp_path / "two"), "what was there already and what came to it"


async def test_a_file_that_is_too_short_to_go_on_with_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"abc")
    file = ByteFile(tmp_path / "two", "none")
    with pytest.raises(OSError, match="has 3 bytes, not 4"):
        await file.go_on(tmp_path / "one", 4)
    await file.abandon()


async def test_memory_holds_no_more_than_a_chunk(tmp_path: Path) -> None:
    file = ByteFile(tmp_path / "one", "none")
    content = random.randbytes(5 * CHUNK_BYTES)
    for begin in range(0, len(content), 10_000):
        await file.write(content[begin : begin + 10_000])
        assert len(file._waiting) < CHUNK_BYTES
        assert begin - file.size <= 2 * CHUNK_BYTES
    assert await file.finish() == len(content)
    assert (tmp_path / "one").read_bytes() == content


async def test_only_its_owner_reads_a_file(tmp_path: Path) -> None:
    file = ByteFile(tmp_path / "one", "none")
    await file.finish()
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    assert digest(tmp_path / "one") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_only_what_nobody_needs_and_nobody_touched_lately_is_removed(tmp_path: Path) -> None:
    now = time.time()
    for name, age in (("needed", 900), ("stray", 900), ("new", 10)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (now - age, now - age))
    assert remove_strays(tmp_path, ["needed"], older_than=now - 120) == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["needed", "new"]
