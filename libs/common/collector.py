"""Python's garbage collector, in a process that serves.

Nearly everything here is freed by counting references; the collector looks for circles. With its first threshold of 700 new
objects it looks through each batch of messages a hundred times while the batch is still in use.
"""

import gc

YOUNG_OBJECTS = 10_000
"""New objects between two looks at the youngest: some megabytes at most."""
OLDER_LOOKS = 20
"""Looks at one generation between two looks at the next."""


def tune() -> None:
    """Look at what lives now never again, and at what comes seldom. For the end of a start: what lives then lives as long as
    the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, OLDER_LOOKS, OLDER_LOOKS)
