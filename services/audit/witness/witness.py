"""The witness itself: judges what logs ask, remembers on the disk, and only then cosigns.

Between judging and remembering nothing is awaited, so no other request comes in between; the few milliseconds of the disk are
the price.
"""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Counter, Gauge

from libs.common import logs
from services.audit.log.cosignatures import WitnessKey, cosign
from services.audit.log.notes import VerifierKey, parted, signature_of
from services.audit.witness.judging import UNKNOWN, UNPROVEN, Accepted, Behind, Refused, judge
from services.audit.witness.records import Record, Records, name_of
from services.audit.witness.requests import Asked

SIZE = Gauge("reeve_witness_size", "Size of the last head that was cosigned.", ["log"])
REFUSED = Counter(
    "reeve_witness_refused_total", "Heads that a log signed and that do not continue its last one.", ["log"]
)

log = logs.get("witness")


class Witness:
    """Cosigns for the logs that its operator named, whose names are those of their keys."""

    def __init__(
        self, key: WitnessKey, private: Ed25519PrivateKey, logs_known: Sequence[VerifierKey], records: Records
    ) -> None:
        self._key = key
        self._private = private
        self._logs = {one.name: one for one in logs_known}
        self._records = records
        self._last: dict[str, Record] = {}

    def look_back(self) -> None:
        """Read what was cosigned before. Raises `ConfigError` for a file that is not this witness's."""
        for name, key in self._logs.items():
            record = self._records.read(key)
            if record is not None:
                self._last[name] = record
            SIZE.labels(name).set(record.checkpoint.size if record is not None else 0)

    def add(self, asked: Asked, *, now: int) -> str | Behind | Refused:
        """The line that cosigns the head that is asked for, at `now` in POSIX seconds, or why there is none. Raises `OSError`."""
        key = self._logs.get(asked.origin)
        if key is None:
            return Refused(UNKNOWN, "this witness was not told of such a log")
        last = self._last.get(key.name)
        verdict = judge(asked, key, last.checkpoint if last is not None else None)
        match verdict:
            case Accepted():
                # A clock that was set back must not say of a larger head that it was seen before a smaller one.
                return self._cosign(asked, verdict, key, time=max(now, last.time if last is not None else 0))
            case Refused(status=status, reason=reason) if status == UNPROVEN:
                self._tell(asked, key, reason)
        return verdict

    def newest(self, name: str) -> str | None:
        """The note that was cosigned last of the log whose name has this SHA-256 in hex, or None."""
        return next((one.note for origin, one in self._last.items() if name_of(origin) == name), None)

    def _cosign(self, asked: Asked, accepted: Accepted, key: VerifierKey, *, time: int) -> str:
        cosignature = cosign(self._key.name, self._private, accepted.text, time=time)
        note = f"{accepted.text}\n{_signed_by(key, asked.note)}{cosignature.line}"
        record = Record(accepted.checkpoint, cosignature.time, note)
        # The line leaves after the file is on the disk: whoever dies before has cosigned nothing.
        self._records.write(record)
        self._last[key.name] = record
        SIZE.labels(key.name).set(accepted.checkpoint.size)
        return cosignature.line

    def _tell(self, asked: Asked, key: VerifierKey, reason: str) -> None:
        """Somebody must look: the log's own key signed a head that contradicts what was cosigned, or the proof is wrong."""
        REFUSED.labels(key.name).inc()
        log.error("head refused", log=key.name, old=asked.old, reason=reason)
        self._records.keep_refused(key.name, f"{parted(asked.note)[0]}\n{_signed_by(key, asked.note)}")


def _signed_by(key: VerifierKey, note: str) -> str:
    """The log's own lines of signatures; whatever else a note bears is nobody's business here."""
    lines = parted(note)[1]
    return "".join(f"{line}\n" for line in lines if signature_of(line)[:2] == (key.name, key.key_id))
