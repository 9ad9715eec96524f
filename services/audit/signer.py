"""The signer: signs heads of the log that provably continue the one it signed last, and no other.

It is a program of its own with its own key, and with a file of its own that says what it signed last. Only what was
committed is signed: the head is read, its growth from the last one proven and checked, the file brought to the disk,
and then the note is made and published. A crash in between signs the same head the same way again. A head that is
smaller than the last, or that does not continue it, is refused for good: somebody must look, and the note that would
give two pasts one key is never made.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from prometheus_client import Counter, Gauge

from libs.common import logs
from libs.common.crashpoint import crashpoint
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.disk import sync_folder
from libs.common.errors import ConfigError, Unavailable
from libs.common.events.catalog import new_event
from libs.common.events.platform import CriticalError
from services.audit.log.checkpoints import open_checkpoint, signed_checkpoint
from services.audit.log.notes import NoteRefused, SigningKey
from services.audit.log.proofs import consistency_ranges, is_consistent
from services.audit.log.tree import EMPTY_ROOT
from services.audit.models.leaves import OWN_SOURCE
from services.audit.store import checkpoints, tree
from services.audit.store.checkpoints import StoredCheckpoint

PAUSE_SECONDS = 1.0
RETRY_SECONDS = 1.0
LAST_HEAD = "last-head"

SIGNED = Counter("reeve_audit_checkpoints_total", "Checkpoints signed.")
REFUSED = Gauge("reeve_audit_signer_refuses", "1 once a head was refused that does not continue the last one signed.")

log = logs.get("signer")


class HeadRefused(Exception):
    """The log's head does not continue the one that was signed last; the message says how."""


@dataclass(frozen=True, slots=True)
class Head:
    """A size of the log, and its root."""

    size: int
    root: bytes


class LastHead:
    """The file that remembers what was signed last: a note of the same key, replaced whole."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self._path = folder / LAST_HEAD
        self._key = key

    def read(self) -> Head | None:
        """What was signed last; None where nothing was. Raises `ConfigError` for a file that is not ours."""
        try:
            found = open_checkpoint(self._path.read_text(encoding="utf-8"), self._key.verifier)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, NoteRefused) as error:
            raise ConfigError(f"{self._path}: is not the last head that this key signed ({error})") from error
        return Head(found.size, found.root)

    def write(self, note: str) -> None:
        """Replace the file; when this returns, file and folder are on the disk."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._path.with_name(f".{LAST_HEAD}.new")
        with beside.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            crashpoint("sign.before_fsync")
            os.fsync(file.fileno())
        beside.replace(self._path)
        sync_folder(self._path.parent)
        crashpoint("sign.after_fsync")


class Signer:
    """Signs for ever, at most once a second, and only when the log has grown."""

    def __init__(self, database: Database, key: SigningKey, folder: Path) -> None:
        self._database = database
        self._key = key
        self._file = LastHead(folder, key)
        self._last = self._file.read()
        self._has_looked = False

    async def run(self) -> None:
        """Sign what grows until cancelled. After a refusal nothing is signed any more, and this waits to be looked at."""
        REFUSED.set(0)
        while True:
            try:
                await self.turn()
            except HeadRefused as refusal:
                await self._stop(str(refusal))
            except (Unavailable, asyncpg.PostgresError, OSError) as error:
                log.warning("head not signed", error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(PAUSE_SECONDS)

    async def turn(self) -> bool:
        """Sign the head, if it has grown or its note was lost; says whether. Raises `HeadRefused`."""
        async with self._database.reading() as session:
            state = await tree.state(session)
            head = Head(state.size, state.root)
            if not self._has_looked:
                await self._look_back(session, head)
            if self._last == head and state.signed == head.size:
                return False
            if self._last is not None:
                await _check(session, self._last, head)
        note = signed_checkpoint(self._key, size=head.size, root=head.root)
        if self._last != head:
            # Nothing is published that a later life of this program would not remember.
            await asyncio.to_thread(self._file.write, note)
            self._last = head
        async with self._database.transaction() as session:
            await checkpoints.append(session, StoredCheckpoint(head.size, head.root, note))
        crashpoint("sign.after_publish")
        SIGNED.inc()
        return True

    async def _look_back(self, session: Session, head: Head) -> None:
        """At the start: what this key published counts as signed too, though the file were lost or an old one put back."""
        newest = await checkpoints.newest(session)
        if newest is not None:
            try:
                published = open_checkpoint(newest.note, self._key.verifier)
            except NoteRefused as refusal:
                log.warning("the newest checkpoint is not by this key", size=newest.size, reason=str(refusal))
            else:
                await _check(session, Head(published.size, published.root), head)
                if self._last is None:
                    log.warning("no last head beside the key; going on from what is published", size=published.size)
                    self._last = Head(published.size, published.root)
        self._has_looked = True

    async def _stop(self, reason: str) -> None:
        """Say so by every way there is, and sign nothing until somebody starts this program again."""
        REFUSED.set(1)
        log.error("head refused; nothing is signed any more", reason=reason)
        told = CriticalError(error_type="audit_log_refused", system="audit log", error_message=reason)
        event = new_event(told, subject="audit_log", source=OWN_SOURCE, severity="critical")
        while True:
            try:
                async with self._database.transaction() as session:
                    await outbox.emit(session, event)
            except (Unavailable, asyncpg.PostgresError, TimeoutError) as error:
                log.warning("alarm not raised", error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.Event().wait()


async def _check(session: Session, last: Head, head: Head) -> None:
    """Raise `HeadRefused` unless the log proves that `head` continues `last`."""
    if head.size < last.size:
        raise HeadRefused(f"the log has {head.size} leaves; {last.size} were signed")
    if last.size in {0, head.size}:
        begins = last.root if last.size else EMPTY_ROOT
        if begins != last.root or (head.size == last.size and head.root != last.root):
            raise HeadRefused(f"the log of {head.size} leaves has another root than was signed")
        return
    try:
        proof = await tree.proof(session, consistency_ranges(last.size, head.size))
    except ValueError as error:
        raise HeadRefused(
            f"the log cannot prove that it grew from {last.size} to {head.size} leaves: {error}"
        ) from error
    if not is_consistent(old=last.size, old_root=last.root, new=head.size, new_root=head.root, proof=proof):
        raise HeadRefused(f"the log of {head.size} leaves does not continue the one of {last.size} that was signed")
