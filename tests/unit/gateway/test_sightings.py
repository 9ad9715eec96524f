"""Which requests leave facts: every refusal, and what is new within a minute; and that the memory is bounded."""

from typing import Any

import pytest

from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from services.gateway.facts import Fact, FactKind
from services.gateway.sightings import EXPORT_WEIGHT, Sightings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def caller(address: str = "192.0.2.7", *, user: str = "ada", session: str = "s1") -> Caller:
    actor = Actor(user, ActorType.ADMIN, user, "viewer", Level.READ, frozenset(), session_id=session)
    return Caller(actor, Origin(ip_address=address, user_agent="browser/1", request_id="r1"), "r1")


def scope(
    who: Caller | None, *, action: str = "view_it", method: str = "GET", path: str = "/x", query: bytes = b"",
    target: str | None = None, **state: Any,
) -> dict[str, Any]:  # fmt: skip
    origin = who.origin if who is not None else Origin(ip_address="2001:db8::1")
    known = {"caller": who, "admitted": True} if who is not None else {}
    return {
        "method": method, "path": path, "query_string": query,
        "state": {"action": action, "origin": origin, "target": target, **known, **state},
    }  # fmt: skip


def kinds(facts: list[Fact]) -> list[FactKind]:
    return [fact.kind for fact in facts]


@pytest.mark.parametrize(
    ("status", "error", "state", "kind"),
    [
        (403, "admin_permission_required", {}, FactKind.DENIED_REQUEST),
        (401, "invalid_token", {}, FactKind.DENIED_REQUEST),
        (429, "rate_limited", {}, FactKind.LIMIT_EXCEEDED),
        (401, "invalid_credentials", {"admitted": True, "action": "sign_in"}, None),
        (401, None, {"admitted": True, "action": "issue_token"}, FactKind.FAILED_LOGIN),
        (429, "account_locked", {"admitted": True, "action": "sign_in"}, FactKind.LIMIT_EXCEEDED),
        (401, "step_up_required", {}, None),
        (200, None, {"observed": "settings:write"}, FactKind.DENIED_REQUEST),
        (404, "not_found", {}, None),
        (500, "permission_check_failed", {}, None),
    ],
    ids=range(10),
)
def test_a_refusal_is_a_fact_and_a_failure_is_none(
    status: int, error: str | None, state: dict[str, Any], kind: FactKind | None
) -> None:
    found = Sightings().of_request(scope(None, **state), status, error)
    assert kinds(found) == ([kind] if kind else [])
    if found:
        assert (found[0].place, found[0].ip_address, found[0].key) == ("2001:db8::/64", "2001:db8::1", None)


def test_each_refusal_counts_and_nothing_is_remembered_of_it() -> None:
    one, who = Sightings(), caller()
    for _ in range(3):
        found = one.of_request(scope(who), 403, None)
        one.remember(who, found)
        assert kinds(found) == [FactKind.DENIED_REQUEST]
        assert (found[0].user_id, found[0].session_id, found[0].user_agent) == ("ada", "s1", "browser/1")


def test_a_steady_reader_leaves_a_fact_a_minute_and_a_failed_commit_loses_none() -> None:
    clock, who = Clock(), caller()
    one = Sightings(clock=clock)
    first = one.of_request(scope(who), 200, None)
    assert kinds(first) == [FactKind.SESSION_USED, FactKind.TARGET_READ]
    assert [fact.key for fact in first] == ["192.0.2.0/24", "/x"]
    # Not remembered as long as it is not durable.
    assert kinds(one.of_request(scope(who), 200, None)) == kinds(first)
    one.remember(who, first)
    clock.now += 59.9
    assert one.of_request(scope(who), 200, None) == []
    clock.now += 0.1
    assert kinds(one.of_request(scope(who), 200, None)) == kinds(first)


def test_another_network_session_or_account_is_news_and_a_neighbouring_address_is_none() -> None:
    one, who = Sightings(), caller()
    one.remember(who, one.of_request(scope(who, method="PUT"), 200, None))
    assert one.of_request(scope(caller("192.0.2.99"), method="PUT"), 200, None) == []
    for other in (caller("192.0.3.7"), caller(session="s2"), caller(user="bob")):
        assert kinds(one.of_request(scope(other, method="PUT"), 200, None)) == [FactKind.SESSION_USED]


def test_targets_and_pages_differ_and_filters_do_not() -> None:
    who = caller()

    def key(**given_: Any) -> str | None:
        (fact,) = [
            fact
            for fact in Sightings().of_request(scope(who, **given_), 200, None)
            if fact.kind is FactKind.TARGET_READ
        ]
        return fact.key

    assert key(target="user/1") != key(target="user/2")
    assert key(query=b"q=a") == key(query=b"q=b") == key() == "/x"
    assert len({key(), key(query=b"cursor=a"), key(query=b"cursor=b&limit=3"), key(query=b"skip=5")}) == 4
    assert key(path="/x\0y") == "/xy"
    assert len(key(path="/" * 900, query=b"cursor=" + b"c" * 900) or "") <= 512


def test_what_cannot_be_read_is_no_read_and_an_export_weighs_much() -> None:
    who = caller()
    assert kinds(Sightings().of_request(scope(who), 404, None)) == [FactKind.SESSION_USED]
    found = Sightings().of_request(scope(who, action="start_export", method="POST"), 201, None)
    assert (found[1].kind, found[1].weight) == (FactKind.TARGET_READ, EXPORT_WEIGHT)


def test_the_memory_is_bounded() -> None:
    one, who = Sightings(most_remembered=100), caller()
    for number in range(110):
        one.remember(who, [Fact(FactKind.TARGET_READ, key=str(number))])
    assert len(one._seen) == 100
