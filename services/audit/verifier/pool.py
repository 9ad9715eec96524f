"""Work in order over several processes, with a bounded number of pieces on the way; in this process when there is little."""

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from itertools import islice
from typing import TypeVar

from services.audit.verifier.findings import Unreadable

In = TypeVar("In")
Out = TypeVar("Out")
AHEAD = 4
"""Pieces that wait for each process, so that none idles while results are taken in."""
LITTLE = 8
"""Pieces that are done here: up to so many, starting processes costs more than they save."""
MOST_PROCESSES = 16
_LARGEST_BYTES = 16 * 1024 * 1024


class Pool:
    """Processes that outlive one task; `with` ends them. They are started when there is work for them."""

    def __init__(self, processes: int | None = None) -> None:
        self._processes = min(os.cpu_count() or 1, MOST_PROCESSES) if processes is None else processes
        self._executor: ProcessPoolExecutor | None = None
        self._collected = gc.isenabled()

    def __enter__(self) -> "Pool":
        _prepare()
        return self

    def __exit__(self, *_: object) -> None:
        if self._collected:
            gc.enable()
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def map(self, work: Callable[[In], Out], pieces: Iterable[In]) -> Iterator[Out]:
        """The results, in the order of the pieces. What a piece raises is raised here."""
        coming = iter(pieces)
        for piece in coming if self._processes == 1 else islice(coming, LITTLE):
            yield work(piece)
        waiting: deque[Future[Out]] = deque()
        try:
            for piece in coming:
                waiting.append(self._started().submit(work, piece))
                if len(waiting) >= AHEAD * self._processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise Unreadable("a process of the verifier ended by itself: is there enough memory?") from error

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            # Fresh processes: what a fork takes along of this one (threads, locks, open files) cannot hurt.
            fresh = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self._processes, mp_context=fresh, initializer=_prepare)
        return self._executor


def _prepare() -> None:
    # Millions of small objects without a cycle among them: looking for cycles would take a third of the time.
    gc.disable()
    _keep_memory()


@cache
def _keep_memory() -> None:
    # glibc returns freed memory to the system above twice the largest block that was ever freed, and is given it back page by
    # page: without this block, for each piece anew.
    bytes(_LARGEST_BYTES)
