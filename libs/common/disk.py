"""What a crash of the machine must not undo."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Return when what was made, renamed or removed in a folder is on the disk. Raises `OSError`."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
