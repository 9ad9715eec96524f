"""The schemas that a process judges by: as new as promised, read once for many, and one look-up for everything else."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import pytest

from libs.common.events.registered import Kept, SchemaBook
from tests.support.makers import an_event

ORDER = "com.shop.order.v1"


def kept(revision: int, *, name: str = ORDER, version: int = 1, schema: dict[str, Any] | None = None) -> Kept:
    given = {"required": ["order_id"]} if schema is None else schema
    return Kept(name, version, revision, orjson.dumps(given).decode())


class Shelf:
    """A table of registered types, a clock, and how often the table was read."""

    def __init__(self, *rows: Kept) -> None:
        self.rows = {row.event_type: row for row in rows}
        self.now = 100.0
        self.looks: list[str | Sequence[str]] = []
        self.during: Callable[[], None] = lambda: None
        self.error: Exception | None = None
        self.book = SchemaBook(self.revisions, self.kept, seconds=1.0, clock=lambda: self.now)

    def put(self, *rows: Kept) -> None:
        self.rows |= {row.event_type: row for row in rows}

    async def revisions(self) -> Mapping[str, int]:
        self.looks.append("revisions")
        if self.error is not None:
            raise self.error
        found = {name: row.revision for name, row in self.rows.items()}
        await asyncio.sleep(0)
        self.during()
        return found

    async def kept(self, event_types: Sequence[str]) -> Sequence[Kept]:
        self.looks.append(list(event_types))
        return [self.rows[name] for name in event_types if name in self.rows]

    def refusal(self, name: str = ORDER, **data: Any) -> str | None:
        return self.book.misfit(an_event(type=name, data=data))


async def test_what_is_registered_is_judged_and_everything_else_is_not() -> None:
    shelf = Shelf(kept(1, version=3))
    await shelf.book.refresh()
    assert shelf.refusal(order_id="4711") is None
    assert shelf.refusal() == f"the value breaks required: order_id is missing (version 3 of {ORDER})"
    assert shelf.refusal("com.shop.order.v2") is None


async def test_it_is_read_once_in_a_second_and_only_what_changed() -> None:
    shelf = Shelf(kept(1), kept(2, name="com.shop.other.v1"))
    for _ in range(3):
        await shelf.book.refresh()
    assert shelf.looks == ["revisions", [ORDER, "com.shop.other.v1"]]
    shelf.put(kept(3, schema={}, version=2))
    shelf.now += 0.99
    await shelf.book.refresh()
    assert shelf.refusal() is not None
    shelf.now += 0.02
    await shelf.book.refresh()
    assert shelf.refusal() is None
    assert shelf.looks[2:] == ["revisions", [ORDER]]
    shelf.now += 1.01
    await shelf.book.refresh()
    assert shelf.looks[4:] == ["revisions"]


async def test_what_is_said_to_have_changed_is_read_at_once() -> None:
    shelf = Shelf(kept(1))
    await shelf.book.refresh()
    shelf.put(kept(2, schema={}))
    shelf.book.forget()
    await shelf.book.refresh()
    assert shelf.refusal() is None


async def test_what_changes_during_a_reading_is_read_by_the_next_one() -> None:
    shelf = Shelf(kept(1, schema={}))

    def change() -> None:
        shelf.during = lambda: None
        shelf.put(kept(2, name="com.shop.late.v1"))
        shelf.book.forget()

    shelf.during = change
    await shelf.book.refresh()
    assert shelf.refusal("com.shop.late.v1") is None
    await shelf.book.refresh()
    assert shelf.refusal("com.shop.late.v1") is not None


async def test_many_who_ask_at_once_read_once() -> None:
    shelf = Shelf(kept(1))
    await asyncio.gather(*[shelf.book.refresh() for _ in range(20)])
    assert shelf.looks == ["revisions", [ORDER]]


@pytest.mark.parametrize("goes", [True, False])
async def test_a_type_that_is_deleted_is_judged_no_more(goes: bool) -> None:
    shelf = Shelf(kept(1))
    await shelf.book.refresh()
    if goes:
        del shelf.rows[ORDER]
    else:
        shelf.put(Kept(ORDER, 1, 2, None))
    shelf.book.forget()
    await shelf.book.refresh()
    assert shelf.refusal() is None


async def test_a_type_that_goes_between_the_two_looks_is_judged_no_more() -> None:
    shelf = Shelf(kept(1))
    await shelf.book.refresh()
    shelf.put(kept(2))
    shelf.book.forget()
    shelf.during = shelf.rows.clear
    await shelf.book.refresh()
    assert shelf.refusal() is None


async def test_a_table_that_cannot_be_read_is_said_and_asked_again() -> None:
    shelf = Shelf(kept(1))
    shelf.error = ConnectionError("gone")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await shelf.book.refresh()
    shelf.error = None
    await shelf.book.refresh()
    assert shelf.refusal() is not None
