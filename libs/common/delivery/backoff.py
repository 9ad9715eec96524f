"""How long to wait before trying again: longer each time, never together with everybody else."""

import random

MOST_SECONDS = 10.0


def backoff_seconds(attempt: int, *, first_seconds: float) -> float:
    """Seconds before try number `attempt` (from 0): doubling from `first_seconds` up to 10, times a random 0.5 to 1."""
    return float(min(MOST_SECONDS, first_seconds * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0))  # noqa: S311
