"""What a request shows of whoever made it, as facts for the detection of attacks.

A denied request is a fact each time. That a session was used in a network, and that somebody read a thing, is one
once a minute and gateway: so a steady stream of requests costs a look into a dictionary. Pure but for that memory.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from libs.common.identity import ActorType, Caller, Origin
from services.gateway.access.addresses import network_of, place_of
from services.gateway.facts import Fact, FactKind

SEEN_SECONDS = 60.0
MOST_REMEMBERED = 50_000
"""Sightings that are remembered; past it the oldest are told again."""
EXPORT_WEIGHT = 100
"""How many reads an export counts as."""
MOST_KEY = 512
_PAGING = frozenset({"cursor", "skip"})
_ORDINARY = frozenset({"step_up_required", "otp_required"})
"""Refusals that are a step on the way of whoever is let in."""


def fact_of(
    caller: Caller,
    kind: FactKind,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    details: Mapping[str, object] | None = None,
) -> Fact:
    """A fact about what `caller` did; `user_id` and `session_id` say whom it concerns where that is not the caller."""
    return _fact(caller, caller.origin, kind, user_id=user_id, session_id=session_id, details=details)


class Sightings:
    """What each request shows that was not seen lately. `seconds` is how long something counts as seen."""

    def __init__(
        self,
        *,
        seconds: float = SEEN_SECONDS,
        most_remembered: int = MOST_REMEMBERED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._most_remembered = most_remembered
        self._clock = clock
        self._seen: OrderedDict[_Name, float] = OrderedDict()

    def of_request(self, scope: Mapping[str, Any], status: int, error: str | None) -> list[Fact]:
        """The facts that a request leaves; those that are told once a minute must be `remember`ed when they are durable."""
        state = scope["state"]
        caller: Caller | None = state.get("caller")
        origin: Origin | None = state.get("origin")
        if origin is None:
            return []
        if (refused := _refused(state, status, error)) is not None:
            return [_fact(caller, origin, refused, details=_refusal(scope, state, status, error))]
        if caller is None:
            return []
        # Where everything was seen lately, this costs two look-ups and makes nothing.
        facts = []
        network = _network(origin.ip_address)
        if self._is_new(caller, FactKind.SESSION_USED, network):
            facts.append(_fact(caller, origin, FactKind.SESSION_USED, key=network))
        if status < 400 and scope["method"] == "GET":
            thing = _thing(scope, state)
            if self._is_new(caller, FactKind.TARGET_READ, thing):
                facts.append(_fact(caller, origin, FactKind.TARGET_READ, key=thing))
        elif status < 400 and state["action"] == "start_export":
            key = f"export/{origin.request_id}"
            facts.append(_fact(caller, origin, FactKind.TARGET_READ, key=key, weight=EXPORT_WEIGHT))
        return facts

    def remember(self, caller: Caller | None, facts: Sequence[Fact]) -> None:
        """These facts of a caller's request are durable: they need not be told again for a minute."""
        if caller is None:
            return
        now = self._clock()
        for fact in facts:
            if fact.key is not None:
                name = _name(caller, fact.kind, fact.key)
                self._seen[name] = now
                self._seen.move_to_end(name)
        while len(self._seen) > self._most_remembered:
            self._seen.popitem(last=False)

    def _is_new(self, caller: Caller, kind: FactKind, key: str) -> bool:
        seen_at = self._seen.get(_name(caller, kind, key))
        return seen_at is None or seen_at + self._seconds <= self._clock()


def _refused(state: Mapping[str, Any], status: int, error: str | None) -> FactKind | None:
    """What kind of refusal this is; None where the request was let in, or its refusal is told elsewhere."""
    if status == 429:
        return FactKind.LIMIT_EXCEEDED
    if state.get("observed") is not None:
        return FactKind.DENIED_REQUEST
    if status not in (401, 403) or error in _ORDINARY:
        return None
    if state.get("caller") is None and "admitted" in state:
        # Of a public route: a sign-in that failed says so itself, but for that of a client.
        return FactKind.FAILED_LOGIN if state["action"] == "issue_token" else None
    return FactKind.DENIED_REQUEST


def _refusal(scope: Mapping[str, Any], state: Mapping[str, Any], status: int, error: str | None) -> dict[str, object]:
    said = {"action": state["action"], "status": status, "path": _plain(scope["path"])}
    return {
        **said,
        **({"error": error} if error else {}),
        **({"permission": p} if (p := state.get("permission")) else {}),
    }


def _thing(scope: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """What a GET reads: its target, or the list and the page of it; other filters make no other thing."""
    thing = str(state.get("target") or scope["path"])
    query: bytes = scope.get("query_string") or b""
    if query:
        page = [value for name, value in parse_qsl(query.decode("latin-1")) if name in _PAGING]
        if page:
            thing = f"{thing[:256]}?{page[0][:255]}"
    return _plain(thing)


def _fact(
    caller: Caller | None,
    origin: Origin,
    kind: FactKind,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    key: str | None = None,
    weight: int = 1,
    details: Mapping[str, object] | None = None,
) -> Fact:
    actor = caller.actor if caller is not None else None
    is_admin = actor is not None and actor.type is ActorType.ADMIN
    return Fact(
        kind=kind,
        user_id=user_id or (actor.id if actor is not None and is_admin else None),
        client_id=actor.client_id if actor is not None else None,
        session_id=session_id or (actor.session_id if actor is not None else None),
        place=place_of(origin.ip_address) if origin.ip_address else None,
        ip_address=origin.ip_address,
        user_agent=_plain(origin.user_agent) if origin.user_agent else None,
        key=key,
        weight=weight,
        details=details or {},
    )


def _name(caller: Caller, kind: FactKind, key: str) -> "_Name":
    return (kind, caller.actor.id, caller.actor.session_id, key)


def _plain(text: str) -> str:
    """Bounded, and without the one character that Postgres cannot keep."""
    return text[:MOST_KEY].replace("\0", "")


_Name = tuple[FactKind, str, str | None, str]
_network = lru_cache(maxsize=4096)(network_of)
