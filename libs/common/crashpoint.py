"""Named places where a test may kill this process.

`REEVE_CRASH_AT=relay.after_publish` (or `name:3`, the third time it is reached) ends the process
with SIGKILL right there, as a power cut would. Without the variable a crash point is one
look at an empty dictionary.
"""

import os
import signal

_target, _, _count = os.environ.get("REEVE_CRASH_AT", "").partition(":")
_left = {_target: int(_count) if _count.isdigit() else 1} if _target else {}


def crashpoint(name: str) -> None:
    """Die here by SIGKILL when the environment names this point."""
    if not _left or name not in _left:
        return
    _left[name] -= 1
    if _left[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
