"""Searches that administrators keep: private or shared, bounded, and with filters that the list knows."""

import asyncio
from typing import Any

import pytest

from libs.common.errors import ReeveError
from libs.common.events.catalog import CommandData, new_event
from libs.common.events.envelope import Event
from libs.common.events.saved_searches import DeleteSavedSearch, SaveSearch
from libs.common.identity import Origin
from services.audit.commands.saved_searches import COMMANDS, MOST_OF_ONE
from tests.integration.audit.archive import ADMIN, OTHER, Archive

FILTERS = {"outcome": "denied", "target_type": ["user", "role"], "date_from": "2026-01-01"}


async def apply(archive: Archive, data: CommandData, *, owner: str = ADMIN) -> Event:
    command = new_event(data, subject=None, actor_id=owner, actor_type="admin")
    async with archive.database.transaction() as session:
        [outcome] = await COMMANDS[data.TYPE](session, [command])
    return outcome


async def save(archive: Archive, name: str, *, owner: str = ADMIN, **given: Any) -> dict[str, Any]:
    data = SaveSearch(name=name, origin=Origin(username="ada@example.com"), **{"filters": FILTERS, **given})
    body: dict[str, Any] = (await apply(archive, data, owner=owner)).data["result"]
    return body


async def refusal(archive: Archive, data: CommandData, *, owner: str = ADMIN) -> ReeveError:
    with pytest.raises(ReeveError) as caught:
        await apply(archive, data, owner=owner)
    return caught.value


async def seen(archive: Archive, reader: str, query: str = "") -> list[str]:
    listed = (await archive.get(f"/saved-searches{query}", reader=reader)).json()
    return [one["name"] for one in listed["saved_searches"]]


async def test_a_search_is_kept_with_its_filters_in_order(archive: Archive) -> None:
    saved = await save(archive, "Refused changes")
    assert saved["filters"] == {
        "outcome": ["denied"], "target_type": ["user", "role"], "date_from": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert (saved["is_own"], saved["created_by"], saved["created_by_name"]) == (True, ADMIN, "ada@example.com")
    assert await archive.body(f"/saved-searches/{saved['id']}") == saved


async def test_what_is_private_is_seen_by_its_owner_and_what_is_shared_by_all(archive: Archive) -> None:
    private = await save(archive, "mine")
    shared = await save(archive, "ours", is_shared=True)
    await save(archive, "theirs", owner=OTHER)
    assert await seen(archive, ADMIN) == ["ours", "mine"]
    assert await seen(archive, OTHER) == ["theirs", "ours"]
    found = await archive.get(f"/saved-searches/{shared['id']}", reader=OTHER)
    assert (found.status_code, found.json()["is_own"]) == (200, False)
    refused = await archive.get(f"/saved-searches/{private['id']}", reader=OTHER)
    assert (refused.status_code, refused.json()["detail"]["error"]) == (404, "saved_search_not_found")


async def test_only_its_owner_deletes_a_search(archive: Archive) -> None:
    private, shared = await save(archive, "mine"), await save(archive, "ours", is_shared=True)
    foreign = await refusal(archive, DeleteSavedSearch(saved_search_id=private["id"]), owner=OTHER)
    assert (foreign.status, foreign.code) == (404, "saved_search_not_found")
    of_all = await refusal(archive, DeleteSavedSearch(saved_search_id=shared["id"]), owner=OTHER)
    assert (of_all.status, of_all.code) == (403, "not_owner")
    for one in (private, shared):
        assert (await apply(archive, DeleteSavedSearch(saved_search_id=one["id"]))).data["status"] == 204
    assert await seen(archive, ADMIN) == []
    gone = await refusal(archive, DeleteSavedSearch(saved_search_id=private["id"]))
    assert gone.code == (await refusal(archive, DeleteSavedSearch(saved_search_id="no-id"))).code


async def test_a_name_is_taken_once_by_each(archive: Archive) -> None:
    await save(archive, "Refused")
    taken = await refusal(archive, SaveSearch(name="Refused", filters={}))
    assert (taken.status, taken.code) == (409, "saved_search_exists")
    await save(archive, "Refused", owner=OTHER)


async def test_an_administrator_keeps_so_many_and_no_more_even_at_once(archive: Archive) -> None:
    for number in range(MOST_OF_ONE - 2):
        await save(archive, f"search {number}")
    outcomes = await asyncio.gather(*[save(archive, f"last {n}") for n in range(6)], return_exceptions=True)
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 2
    assert {error.code for error in outcomes if isinstance(error, ReeveError)} == {"too_many_saved_searches"}
    await save(archive, "mine", owner=OTHER)


@pytest.mark.parametrize(
    ("filters", "place", "rule"),
    [
        ({"outcome": "maybe"}, ["body", "filters", "outcome", 0], "'success', 'denied' or 'failure'"),
        ({"user": "ada"}, ["body", "filters", "user"], "Extra inputs"),
        ({"ip_address": ["nowhere"]}, ["body", "filters", "ip_address", 0], "CIDR"),
        ({"limit": 5}, ["body", "filters", "limit"], "Extra inputs"),
        ({"q": "x" * 201}, ["body", "filters", "q"], "at most 200"),
    ],
)
async def test_a_filter_that_the_list_does_not_have_is_refused(
    archive: Archive, filters: dict[str, Any], place: list[Any], rule: str
) -> None:
    refused = await refusal(archive, SaveSearch(name="x", filters=filters))
    assert (refused.status, refused.code) == (422, "validation_error")
    assert refused.extra["errors"][0]["loc"] == place
    assert rule in refused.extra["errors"][0]["msg"]


async def test_the_list_is_walked_by_cursor(archive: Archive) -> None:
    names = [(await save(archive, f"s{number}"))["name"] for number in range(5)]
    walked: list[str] = []
    cursor = ""
    while cursor is not None:
        page = await archive.body(f"/saved-searches?limit=2{cursor and '&cursor='}{cursor}")
        walked += [one["name"] for one in page["saved_searches"]]
        cursor = page["next_cursor"]
    assert walked == names[::-1]
    assert page["total"] == 5
    assert await seen(archive, ADMIN, "?skip=3") == ["s1", "s0"]


async def test_only_the_gateway_is_answered(archive: Archive) -> None:
    for target in ("/saved-searches", f"/saved-searches/{ADMIN}"):
        assert (await archive.client.get(f"/internal/audit{target}")).status_code == 401
        assert (await archive.get(target, permission="settings:read")).status_code == 401
