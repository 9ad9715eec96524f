"""A platform's day, made up: seeded, so that the same seed tells the same story. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

STORES = (
    ("st-101", "Alder & Finch"), ("st-102", "Bramble Books"), ("st-103", "Corner Cycles"), ("st-104", "Dune Ceramics"),
    ("st-105", "Ember Coffee"), ("st-106", "Fern Outdoor"),
)  # fmt: skip
COUNTRIES = ("DE", "FR", "SE", "PT", "PL")
NOTIFY_ERRORS = 5
"""An import that completed with at least this many errors makes a notification."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened: an event's type, subject, data and importance, and whether it must notify."""

    type: str
    subject: str
    data: dict[str, Any]
    severity: str = "info"
    notifies: bool = False


def happenings(seed: int, run: str) -> Iterator[Happening]:
    """An endless stream of imports, orders, sign-ins and store changes; now and then something goes wrong."""
    rng = random.Random(seed)
    kinds = (_order, _sign_in, _store_change, _import, _trouble)
    number = 0
    while True:
        number += 1
        store = rng.choice(STORES)
        yield rng.choices(kinds, weights=(55, 25, 10, 7, 3))[0](rng, store, f"{run}-{number}")


def _order(rng: random.Random, store: tuple[str, str], key: str) -> Happening:
    lines = rng.randint(1, 6)
    data = {
        "store_id": store[0],
        "order_id": key,
        "lines": lines,
        "total_cents": lines * rng.randint(900, 9000),
        "country": rng.choice(COUNTRIES),
    }
    return Happening("com.demo.order.created.v1", f"order/{key}", data)


def _sign_in(rng: random.Random, store: tuple[str, str], key: str) -> Happening:
    data = {
        "store_id": store[0],
        "customer_ref": f"c-{rng.randint(1, 5000)}",
        "method": rng.choice(("password", "passkey", "link")),
    }
    return Happening("com.demo.customer.signed_in.v1", f"customer/{data['customer_ref']}", data)


def _store_change(rng: random.Random, store: tuple[str, str], key: str) -> Happening:
    field = rng.choice(("opening_hours", "theme", "currency", "tax_rule"))
    return Happening(
        "com.demo.store.changed.v1", f"store/{store[0]}", {"store_id": store[0], "field": field, "change_id": key}
    )


def _import(rng: random.Random, store: tuple[str, str], key: str) -> Happening:
    errors = rng.choice((0, 0, 1, 2, 7, 12))
    data = {
        "store_id": store[0],
        "store_name": store[1],
        "job_id": key,
        "imported_count": rng.randint(10, 900),
        "errors_count": errors,
    }
    return Happening("platform.import.completed.v1", f"import/{key}", data, notifies=errors >= NOTIFY_ERRORS)


def _trouble(rng: random.Random, store: tuple[str, str], key: str) -> Happening:
    told = {"store_id": store[0], "store_name": store[1], "job_id": key}
    match rng.randrange(4):
        case 0:
            data = {**told, "error_message": "the supplier's file ends in the middle of a line"}
            return Happening("platform.import.failed.v1", f"import/{key}", data, "error", notifies=True)
        case 1:
            data = {**told, "error_message": "the market answered 503 three times"}
            return Happening("platform.order_sync.failed.v1", f"sync/{key}", data, "error", notifies=True)
        case 2:
            data = {**told, "error_message": "payment provider unreachable", "error_type": "payments"}
            return Happening("platform.error.critical.v1", f"incident/{key}", data, "critical", notifies=True)
        case _:
            return Happening(
                "com.demo.stock.lost.v1",
                f"stock/{key}",
                {**told, "items": rng.randint(1, 40)},
                "critical",
                notifies=True,
            )
