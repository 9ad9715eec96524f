"""Named places where a test may kill this process.

`REEVE_CRASH_AT=relay.after_publish` (or `name:3`, the third time it is reached) ends the process
with SIGKILL right there, as a power cut would. Without the variable a crash point is one
comparison with None.
"""

import os
import signal

_target, _, _count = os.environ.get("REEVE_CRASH_AT", "").partition(":")
_armed: str | None = _target or None
_left = int(_count) if _count.isdigit() else 1


def crashpoint(name: str) -> None:
    """Die here by SIGKILL when the environment names this point."""
    if _armed is None or _armed != name:
        return
    global _left
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
