#!/usr/bin/env python3
"""Hands each service the key files that it needs and no other, after `python -m services prepare` made them all.

Runs in the services' image: copies from REEVE_KEYS_DIR into one folder per service below REEVE_SHARED_KEYS_DIR, each
of which is a volume of its own. So only the gateway can sign assertions and tokens, and only the service they are
sealed to can open values. What is there already and the same stays; what does not belong there is removed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

SHARES = {
    "gateway": (
        "gateway.key",
        "gateway.key.pub",
        "tokens.key",
        "tokens.key.pub",
        "gateway.cursors",
        "gateway.exports.key",
        "gateway.exports.key.pub",
        "gateway.factors",
        "gateway.idempotency",
        "gateway.signing",
        "settings.key.pub",
        "notifications.key.pub",
        "audit.sealing.key.pub",
    ),
    "audit": (
        "gateway.key.pub",
        "audit.cursors",
        "audit.sealing.key",
        "audit.sealing.key.pub",
        "audit.sinks",
        "audit-log.key.pub",
        "audit.exports.key",
        "audit.exports.key.pub",
        "audit.receipts.key",
        "audit.receipts.key.pub",
    ),
    "audit-signer": ("audit-log.key", "audit-log.key.pub"),
    "settings": ("gateway.key.pub", "settings.key", "settings.key.pub", "settings.kek", "settings.cursors"),
    "notifications": ("gateway.key.pub", "notifications.key", "notifications.key.pub", "notifications.cursors"),
}


def share(keys: Path, target: Path) -> None:
    """Bring every service's folder below `target` in line with `SHARES`; raises OSError."""
    for service, names in SHARES.items():
        folder = target / service
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in names:
            _copy(keys / name, folder / name)
        for stray in folder.iterdir():
            if stray.name not in names:
                stray.unlink()


def _copy(source: Path, target: Path) -> None:
    """Replace the whole file at once, private halves for their owner alone. Nobody writes them: settings insists on 0400."""
    content = source.read_bytes()
    mode = 0o444 if source.suffix == ".pub" else 0o400
    if target.exists() and target.read_bytes() == content and target.stat().st_mode & 0o777 == mode:
        return
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(mode)
    Path(name).replace(target)


def main() -> int:
    """Share; 2 with one line on standard error when that cannot be done."""
    try:
        share(Path(os.environ["REEVE_KEYS_DIR"]), Path(os.environ["REEVE_SHARED_KEYS_DIR"]))
    except KeyError as error:
        print(f"share_keys: {error.args[0]} must be set", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"share_keys: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
