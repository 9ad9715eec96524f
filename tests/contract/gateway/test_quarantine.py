"""Quarantine and gaps through the whole platform: who may look, who may replay, and what a misfit becomes."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest

from libs.common.events.envelope import STRUCTURED, Event, encode
from libs.common.ids import new_id
from tests.support.house import ADMIN, House

QUARANTINE = f"{ADMIN}/audit/quarantine"


def event(kind: str, **data: Any) -> Event:
    return Event(id=new_id(), source="/platform/shop", type=kind, time=datetime(2026, 1, 31, tzinfo=UTC), data=data)


@pytest.fixture
def kept(house: House) -> Callable[[Event, str], str]:
    """Puts an event into the audit service's dead letters, as its consumer does with a misfit; its id."""

    async def keeping(one: Event, reason: str) -> str:
        letter = new_id()
        connection = await asyncpg.connect(house.database.urls["audit"], server_settings={"search_path": "audit"})
        await connection.execute(
            "INSERT INTO dead_letters (id, queue, type, reason, body, content_type, producer, source, event_type)"
            " VALUES ($1, 'audit.events', $2, $3, $4, $5, 'gateway', $6, $2)",
            letter, one.type, reason, encode(one), STRUCTURED, one.source,
        )  # fmt: skip
        await connection.close()
        return letter

    return lambda one, reason: asyncio.run(keeping(one, reason))


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["error"]


def test_what_fits_by_now_is_replayed_and_what_does_not_says_why(
    house: House, kept: Callable[[Event, str], str]
) -> None:
    fits = event("platform.import.completed.v1", errors_count=7)
    unfit = event("platform.import.completed.v1", errors_count="many")
    fits_id, unfit_id = (kept(one, "invalid_event: errors_count: was stricter once") for one in (fits, unfit))
    with house.client() as admin, house.client("viewer") as viewer:
        [shown] = [one for one in viewer.get(QUARANTINE).json()["quarantine"] if one["id"] == fits_id]
        assert (shown["reason"], shown["state"], shown["source"]) == ("invalid_event", "waiting", "/platform/shop")
        assert viewer.get(f"{QUARANTINE}/{fits_id}").json()["event"]["data"] == {"errors_count": 7}
        assert viewer.post(f"{QUARANTINE}/{fits_id}/replay").status_code == 403
        replayed = admin.post(f"{QUARANTINE}/{fits_id}/replay")
        assert (replayed.status_code, replayed.json()["state"]) == (200, "replayed"), replayed.text
        again = admin.post(f"{QUARANTINE}/{fits_id}/replay")
        assert again.json() == replayed.json()
        found = admin.get(f"{ADMIN}/audit/logs", params={"date_to": "2026-02-01", "source": "/platform/shop"}).json()
        [entry] = [one for one in found["logs"] if one["event_id"] == fits.id]
        assert (entry["sequence"], entry["created_at"]) == (
            replayed.json()["entry_sequence"], "2026-01-31T00:00:00.000000Z",
        )  # fmt: skip
        refused = admin.post(f"{QUARANTINE}/{unfit_id}/replay")
        assert error_of(refused) == (409, "does_not_fit")
        assert "errors_count" in refused.json()["detail"]["message"]
        told = admin.get(f"{QUARANTINE}/{unfit_id}").json()
        assert (told["state"], told["replays"], told["last_error"].partition(":")[0]) == ("waiting", 1, "invalid_event")
        assert error_of(admin.post(f"{QUARANTINE}/{new_id()}/replay")) == (404, "quarantined_not_found")
        assert error_of(admin.get(f"{QUARANTINE}/{new_id()}")) == (404, "quarantined_not_found")


def test_a_wrong_filter_is_named(house: House) -> None:
    with house.client() as admin:
        for path in (f"{QUARANTINE}?state=lost", f"{QUARANTINE}?reason=late", f"{ADMIN}/audit/gaps?state=lost"):
            refused = admin.get(path)
            assert refused.status_code == 422
            assert refused.json()["detail"]["errors"][0]["loc"][0] == "query"


def test_a_platform_that_works_lacks_nothing(house: House) -> None:
    """What our own services say fits the catalogue: nothing of theirs is quarantined, and nothing is missing."""
    with house.client() as admin:
        assert admin.get(f"{ADMIN}/audit/gaps").json()["gaps"] == []
        found = admin.get(QUARANTINE, params={"state": "waiting"}).json()["quarantine"]
        assert [one for one in found if one["source"].startswith("/reeve/")] == []
