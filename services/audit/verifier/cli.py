"""The command line: what to verify, with which key, against which older checkpoints."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from services.audit.verifier.cosignatures import COSIGNER
from services.audit.verifier.dump import open_dump
from services.audit.verifier.export import open_export
from services.audit.verifier.findings import UNREADABLE, Finding, Unreadable
from services.audit.verifier.lines import first_bytes, read_text
from services.audit.verifier.notes import ED25519, NotANote, VerifierKey, parse_key
from services.audit.verifier.places import temporary_folder
from services.audit.verifier.pool import Pool
from services.audit.verifier.producers import LONGEST_SILENCE_SECONDS
from services.audit.verifier.progress import Progress
from services.audit.verifier.receipts import MOST_RECEIPTS, Receipt, open_receipt
from services.audit.verifier.report import as_json, as_text
from services.audit.verifier.source import Kept, Source
from services.audit.verifier.tiles import open_tiles
from services.audit.verifier.verify import Verification
from services.audit.verifier.witnesses import LONGEST_LAG_SECONDS, Policy

MOST_KEY_BYTES = 4096
MOST_KEPT_BYTES = 256 * 1024 * 1024
"""Of a file with notes that were kept, one after the other: a year of minutes."""
_BETWEEN = re.compile(r"(?<=\n)\n(?!\u2014 )(?=.)")
CUSTOM_DUMP = b"PGDMP"
EPILOG = (
    "Exit codes: 0 all holds, 2 wrong usage or unreadable input, 10 signature, 11 root, 12 leaf, 13 missing entry, "
    "14 consistency, 15 producer gap, 16 commitment, 1 several of them."
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(UNREADABLE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """Verify; the exit code. What cannot be read is one line on standard error."""
    chosen = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        key = _key(chosen.key)
        receipts = _receipts(chosen.receipt, chosen.receipt_key)
        policy = _policy(chosen.witness, chosen.quorum, chosen.unwitnessed)
        older = [kept for name in chosen.checkpoint for kept in _older(Path(name))]
        with temporary_folder() as scratch, Pool(chosen.processes) as pool:
            source = open_source(Path(chosen.path), key, Path(scratch), pool)
            with Progress(source.total(), shown=None if not chosen.quiet else False) as progress:
                verification = Verification(source, longest_silence=chosen.silence, receipts=receipts, witnesses=policy)
                verdict = verification.run(older, pool, progress)
    except Unreadable as error:
        sys.stderr.write(f"{_printable(str(error))}\n")
        return UNREADABLE
    except (OSError, MemoryError) as error:
        sys.stderr.write(f"{_printable(str(error) or type(error).__name__)}\n")
        return UNREADABLE
    except KeyboardInterrupt:
        return 130
    seconds = time.monotonic() - started
    if chosen.json:
        sys.stdout.write(json.dumps(as_json(verdict, path=chosen.path, seconds=seconds), indent=2) + "\n")
    else:
        sys.stdout.write(_printable(as_text(verdict, path=chosen.path, seconds=seconds)))
    return verdict.findings.exit_code()


def open_source(path: Path, key: VerifierKey, scratch: Path, pool: Pool) -> Source:
    """Find out what a path is, and open it. Raises Unreadable."""
    if path.is_dir():
        return open_tiles(path, key, scratch, pool)
    begin, unpacked = first_bytes(path, len(CUSTOM_DUMP))
    if unpacked.startswith(b"{"):
        return open_export(path, key)
    if begin != unpacked:
        raise Unreadable(f"{path} is packed, and no export: unpack a dump first")
    if begin == CUSTOM_DUMP:
        raise Unreadable(
            f"{path} is a dump in the custom format: make a plain one (pg_dump --schema=audit, or pg_restore -f)"
        )
    return open_dump(path, key, scratch, pool)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m services.audit.verifier", description="Verify an audit log offline.", epilog=EPILOG,
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument(
        "path", metavar="PATH", help="an export (.jsonl, .jsonl.gz), a directory of tiles, or a plain pg_dump"
    )
    parser.add_argument("--key", required=True, metavar="VKEY", help="the log's verifier key, or a file with it")
    parser.add_argument(
        "--checkpoint", action="append", default=[], metavar="NOTE", help="a file with a signed note kept from earlier"
    )
    parser.add_argument(
        "--receipt", action="append", default=[], metavar="FILE",
        help="a file with receipts, of entries that must be in the log; needs --receipt-key",
    )  # fmt: skip
    parser.add_argument("--receipt-key", metavar="VKEY", help="the verifier key of receipts, or a file with it")
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY",
        help="the verifier key of a witness that must have cosigned the newest head, or a file with it; again for more",
    )  # fmt: skip
    parser.add_argument(
        "--quorum", type=int, metavar="K", help="how many of the witnesses must have (default: all of them)"
    )
    parser.add_argument(
        "--unwitnessed", type=_lag, default=LONGEST_LAG_SECONDS, metavar="SECONDS",
        help="how much younger than the newest cosigned head the last entries may be (default 120; 0: the head itself)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument(
        "--silence", type=_seconds, default=LONGEST_SILENCE_SECONDS, metavar="SECONDS",
        help="the longest time without a heartbeat that is no finding (default 90)",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=_processes, metavar="N", help="processes to use (default: one for each core)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 1e9:
        raise argparse.ArgumentTypeError(f"seconds must be 1..1000000000, got {text}")
    return value


def _lag(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1e9:
        raise argparse.ArgumentTypeError(f"seconds must be 0..1000000000, got {text}")
    return value


def _processes(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 256:
        raise argparse.ArgumentTypeError(f"processes must be 1..256, got {text}")
    return value


def _receipts(files: Sequence[str], key: str | None) -> list[Receipt | Finding]:
    """What was promised, and what is signed by somebody else or no promise. Raises Unreadable."""
    if not files:
        return []
    if key is None:
        raise Unreadable("--receipt needs --receipt-key")
    signer = _key(key, option="--receipt-key")
    notes = [
        (f"receipt {number} in {name}", note)
        for name in files
        for number, note in enumerate(_BETWEEN.split(read_text(Path(name), most=MOST_KEPT_BYTES)), 1)
    ]
    if len(notes) > MOST_RECEIPTS:
        raise Unreadable(f"more than {MOST_RECEIPTS} receipts")
    return [open_receipt(note, signer, label) for label, note in notes]


def _policy(given: Sequence[str], quorum: int | None, longest_lag: float) -> Policy:
    """Whose cosignatures are asked for. Raises Unreadable."""
    keys = tuple(_key(one, option="--witness", kind=COSIGNER) for one in given)
    if len({one.public for one in keys}) < len(keys) or len({one.name for one in keys}) < len(keys):
        raise Unreadable("--witness: one witness is given twice")
    if quorum is not None and not 1 <= quorum <= len(keys):
        raise Unreadable(f"--quorum must be 1 to the number of witnesses, {len(keys)}, got {quorum}")
    return Policy(keys, len(keys) if quorum is None else quorum, longest_lag)


def _key(given: str, *, option: str = "--key", kind: int = ED25519) -> VerifierKey:
    """The key itself, or the first line of a file with it."""
    try:
        path = Path(given)
        is_file = "\x00" not in given and len(os.fsencode(given)) < MOST_KEY_BYTES and path.is_file()
        text = read_text(path, most=MOST_KEY_BYTES) if is_file else given
        return parse_key(text, kind=kind)
    except NotANote as error:
        raise Unreadable(f"{option}: {error}") from error
    except OSError as error:
        raise Unreadable(f"{option}: {error.strerror}") from error


def _older(path: Path) -> list[Kept]:
    """The note in a file, or all of them: notes stand behind an empty line, and a note's own is before its signatures."""
    notes = _BETWEEN.split(read_text(path, most=MOST_KEPT_BYTES))
    if len(notes) == 1:
        return [Kept(f"the checkpoint in {path}", notes[0])]
    return [Kept(f"checkpoint {number} in {path}", note) for number, note in enumerate(notes, 1)]


def _printable(text: str) -> str:
    """Text that any terminal takes: without control characters, and in what its encoding has."""
    encoding = sys.stdout.encoding or "ascii"
    clean = "".join(one if one == "\n" or one.isprintable() else repr(one)[1:-1] for one in text)
    return clean.encode(encoding, "backslashreplace").decode(encoding)
