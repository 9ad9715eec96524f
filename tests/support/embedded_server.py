"""A program that runs the embedded Postgres in a folder until its input ends: `python -m tests.support.embedded_server`."""

import asyncio
import importlib
import os
import pwd
import sys
from pathlib import Path

from libs.common.database.embedded import EmbeddedPostgres
from libs.common.errors import ConfigError

ORDINARY = "nobody"
LAZY = ("concurrent.futures.thread", "encodings.idna")
"""What the standard library imports only when it is used: the interpreter may lie where the user cannot look."""


async def run(folder: Path, elsewhere: Path) -> None:
    """Print the server's URL, wait for the end of the input, stop the server."""
    server = EmbeddedPostgres(folder, elsewhere=elsewhere)
    try:
        print(await server.start(), flush=True)
    except ConfigError as error:
        print(f"refused: {error}", flush=True)
        return
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()
    print("stopped", flush=True)


def become(name: str) -> None:
    """Go on as this user for good."""
    for name_of_module in LAZY:
        importlib.import_module(name_of_module)
    user = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


if __name__ == "__main__":
    if sys.argv[3:] == ["ordinary"] and os.geteuid() == 0:
        become(ORDINARY)
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
