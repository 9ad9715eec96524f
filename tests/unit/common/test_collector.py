"""The collector of a process that serves."""

import gc
from collections.abc import Iterator

import pytest

from libs.common import collector


@pytest.fixture
def as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("as_it_was")
def test_what_lives_is_looked_at_no_more_and_the_young_seldom() -> None:
    living = [[] for _ in range(5000)]  # type: ignore[var-annotated]
    before = gc.get_freeze_count()
    collector.tune()
    assert gc.get_freeze_count() >= before + len(living)
    assert gc.get_threshold() == (10_000, 20, 20)
