"""What a witness cosigned last: a file for each log, on the disk before the cosignature leaves; and a lock, for one witness a folder.

A file is the signed checkpoint with the witness's own cosignature behind the log's signature, so that a file which somebody
wrote over is known. What was signed by a log and refused stands beside it, as evidence.
"""

import fcntl
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from libs.common.crashpoint import crashpoint
from libs.common.disk import sync_folder
from libs.common.errors import ConfigError
from services.audit.log.checkpoints import Checkpoint, open_checkpoint
from services.audit.log.cosignatures import WitnessKey, find_cosignature
from services.audit.log.notes import NoteRefused, VerifierKey, parted

LOCK = "lock"
HEADS = "heads"
MOST_REFUSED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """What was cosigned last of one log: the head, when (POSIX seconds), and the note with both signatures."""

    checkpoint: Checkpoint
    time: int
    note: str


class Records:
    """The files of one folder, by log."""

    def __init__(self, folder: Path, key: WitnessKey) -> None:
        self._folder = folder
        self._key = key
        self._lock: BinaryIO | None = None

    def lock(self) -> None:
        """Keep every other process from this folder until this one ends. Raises `ConfigError`."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (self._folder / LOCK).open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"REEVE_WITNESS_DIR: another witness works in {self._folder}") from error
        except OSError as error:
            raise ConfigError(f"REEVE_WITNESS_DIR: {self._folder} cannot be used ({error.strerror})") from error

    def unlock(self) -> None:
        """Let others in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read(self, log: VerifierKey) -> Record | None:
        """What was cosigned last; None where nothing was. Raises `ConfigError` for a file that this witness did not write."""
        path = self._path(log.name)
        try:
            note = path.read_text(encoding="utf-8")
            checkpoint = open_checkpoint(note, log)
            cosignature = find_cosignature(*parted(note), self._key)
            if cosignature is None:
                raise NoteRefused(f"it bears no cosignature of {self._key.text}")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, NoteRefused) as error:
            raise ConfigError(f"{path}: is not what this witness cosigned last ({error})") from error
        return Record(checkpoint, cosignature.time, note)

    def write(self, record: Record) -> None:
        """Replace a log's file; when this returns, file and folder are on the disk. Raises `OSError`."""
        path = self._path(record.checkpoint.origin)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        with beside.open("w", encoding="utf-8") as file:
            file.write(record.note)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
        crashpoint("witness.after_fsync")

    def keep_refused(self, origin: str, note: str) -> None:
        """Append a head that this log signed and that was refused, once, as far as there is room. Raises `OSError`."""
        path = self._path(origin)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        refused = path.with_name(f"{path.name}.refused")
        before = refused.read_text(encoding="utf-8") if refused.exists() else ""
        if note in before or len(before) + len(note) > MOST_REFUSED_BYTES:
            return
        with refused.open("a", encoding="utf-8") as file:
            file.write(f"\n{note}" if before else note)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)

    def _path(self, origin: str) -> Path:
        return self._folder / HEADS / name_of(origin)


def name_of(origin: str) -> str:
    """SHA-256 of a log's name in hex: how the protocol, and so its file, calls it."""
    return sha256(origin.encode()).hexdigest()
