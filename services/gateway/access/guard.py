"""The guard: every route declares one, and none runs before its guard let the request in.

A guard authenticates the Bearer token, or a browser's cookie with which it refuses what no page of our own made, counts the request against its caller's limit and checks the
permission, in this order. Where denials are only observed (`Rules.observes`) an administrator without
the permission is let through, noted on `Caller.observed` and in `observed`; never where secrets are concerned. It leaves on `request.state` what the recorder needs, also of requests
that it refuses: `action`, `target`, `permission`, `origin`, `caller` (once known) and
`response_headers`. A lookup that fails is 500 `permission_check_failed`, and nothing is granted.
"""

import time
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import RouteContext, iter_route_contexts
from fastapi.security.base import SecurityBase
from prometheus_client import Counter, Histogram
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.types import Scope

from libs.common import logs
from libs.common.errors import Forbidden, ReeveError, Unauthenticated
from libs.common.identity import Actor, ActorType, Caller, Origin
from libs.common.ids import new_id
from libs.common.web.body import Door, StrictRoute
from services.gateway.access.addresses import rate_key
from services.gateway.access.credentials import (
    BY_COOKIE,
    COOKIE_SCHEME,
    asks_for_cookie,
    check_page,
    proved_at,
    who_calls,
)
from services.gateway.access.cross_site import CsrfFailed, kind_of
from services.gateway.access.grants import ANY_ADMIN, permission_required
from services.gateway.access.ip_rules import IpRules
from services.gateway.access.limits import Limit
from services.gateway.access.origins import read_headers, undone_entry
from services.gateway.access.permissions import GUARDS_SECRETS, PERMISSIONS
from services.gateway.access.sessions import ANONYMOUS, AccessControl

FRESH_SECONDS = 300
"""How long ago a proof of who calls may be for what is dangerous."""
PROBES = frozenset({"/healthz", "/readyz"})

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

CHECK_SECONDS = Histogram(
    "reeve_permission_check_seconds",
    "Time to find out who calls, from the token to the actor with all permissions.",
    buckets=(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1),
)
OBSERVED = Counter(
    "reeve_denials_observed_total", "Requests let through that REEVE_ENFORCEMENT=enforce denies.", ("permission",)
)

log = logs.get("guard")


class PermissionCheckFailed(ReeveError):
    """Who calls, or what they may do, could not be looked up; so nothing was done."""

    status = 500
    default_code = "permission_check_failed"


class UnguardedRoute(Exception):
    """The application has routes that declare no guard; it must not start."""


class Guard(Door):
    """What one route demands of whoever calls it. As a dependency it gives the `Caller`."""

    def __init__(self, *, action: str, target: str | None, permission: str | None) -> None:
        self.action = action
        self.permission = permission
        self._target = target
        self._target_is_fixed = target is None or "{" not in target

    async def __call__(self, connection: HTTPConnection) -> Caller:
        """The caller, let in: at the first asking in a request, remembered from then on."""
        state: dict[str, Any] = connection.scope.setdefault("state", {})
        admitted: tuple[Guard, Caller] | None = state.get("admitted")
        if admitted is not None and admitted[0] is self:
            return admitted[1]
        state["action"] = self.action
        state["permission"] = self.permission
        state["target"] = self._target if self._target_is_fixed else self._named(connection.scope)
        access: AccessControl = connection.scope["app"].state.access
        caller = await self._admit(access, connection.scope, state)
        state["admitted"] = (self, caller)
        return caller

    @abstractmethod
    async def _admit(self, access: AccessControl, scope: Scope, state: dict[str, Any]) -> Caller:
        """Let the request in, or raise."""

    def _named(self, scope: Scope) -> str:
        assert self._target is not None
        return self._target.format_map(scope["path_params"])[:512]


class Protected(Guard, SecurityBase):
    """For administrators, and for clients where a permission is asked for."""

    model = HTTPBearer(bearerFormat="JWT")
    scheme_name = "bearer"
    schemes = COOKIE_SCHEME

    def __init__(
        self,
        *,
        action: str,
        target: str | None,
        permission: str | None,
        is_limited: bool = True,
        is_proof: bool = False,
        owner: str | None = None,
        clients_need: str | None = None,
        fresh_seconds: int | None = None,
        checks_secrets: bool = False,
    ) -> None:
        super().__init__(action=action, target=target, permission=permission)
        for one in (permission, clients_need):
            if one is not None and one not in PERMISSIONS:
                raise ValueError(f"no such permission: {one}")
        self.clients_need = clients_need
        self._is_limited = is_limited
        self._is_proof = is_proof
        self._owner = owner
        self._fresh_seconds = fresh_seconds
        self._is_observable = permission is not None and (checks_secrets or permission not in GUARDS_SECRETS)

    async def _admit(self, access: AccessControl, scope: Scope, state: dict[str, Any]) -> Caller:
        address, user_agent, token = read_headers(scope, trusted=access.rules.trusted_proxies)
        request_id = state.get("request_id")
        try:
            rules = await access.ip_rules()
            _check_address(rules, address, admin=False)
            started = time.perf_counter()
            actor = await self._authenticate(access, scope, token)
            CHECK_SECONDS.observe(time.perf_counter() - started)
        except ReeveError as error:
            state["origin"] = Origin(ip_address=address, user_agent=user_agent, request_id=request_id)
            if not isinstance(error, Unauthenticated | Forbidden):
                raise _check_failed(error) from error
            await access.limits.caller.take(f"refused:{rate_key(address)}")
            raise
        except Exception as error:
            raise _check_failed(error) from error
        origin = Origin(
            username=actor.username,
            ip_address=address,
            user_agent=user_agent,
            request_id=request_id,
            session_id=actor.session_id,
        )
        caller = _caller(actor, origin, state)
        state["origin"] = origin
        state["caller"] = caller
        if state.get(BY_COOKIE):
            await _check_page(access, scope, address)
        if (undoes := undone_entry(scope)) is not None:
            state["origin"] = origin = origin.model_copy(update={"undoes": undoes})
            state["caller"] = caller = _caller(actor, origin, state)
        if self._is_proof:
            state["response_headers"] = (await access.limits.login.take(f"proof:{actor.id}")).headers
        elif self._is_limited:
            state["response_headers"] = (await access.limits.caller.take(f"{actor.type}:{actor.id}")).headers
        _check_address(rules, address, admin=actor.type is ActorType.ADMIN)
        if not self._lets_in(actor, scope):
            if not (access.rules.observes and self._is_observable and actor.type is ActorType.ADMIN):
                raise permission_required(self.permission or self.clients_need or ANY_ADMIN, actor)
            caller = self._observe(caller, state)
        if self._fresh_seconds is not None:
            _check_fresh(proved_at(access, scope, actor), self._fresh_seconds)
        return caller

    async def _authenticate(self, access: AccessControl, scope: Scope, token: bytes | None) -> Actor:
        """Who calls, by the `Authorization` header or the session's cookie. Raises `Unauthenticated`."""
        return await who_calls(access, scope, token)

    def _lets_in(self, actor: Actor, scope: Scope) -> bool:
        if self.permission is None:
            return actor.type is ActorType.ADMIN or bool(self.clients_need and actor.may(self.clients_need))
        return actor.may(self.permission) or self._is_own(actor, scope)

    def _observe(self, caller: Caller, state: dict[str, Any]) -> Caller:
        """Let through what would have been denied, and leave that for the recorder, the log and the metrics."""
        log.warning("denial observed, not enforced", permission=self.permission, admin_user_id=caller.actor.id)
        OBSERVED.labels(self.permission).inc()
        observed = replace(caller, observed=self.permission)
        state["observed"] = self.permission
        state["caller"] = observed
        return observed

    def _is_own(self, actor: Actor, scope: Scope) -> bool:
        """Whether the path names the administrator who asks."""
        named = scope["path_params"].get(self._owner) if self._owner is not None else None
        return actor.type is ActorType.ADMIN and isinstance(named, str) and named.lower() == actor.id


class Public(Guard):
    """For everybody, within a limit per address."""

    def __init__(self, *, action: str, target: str | None, is_login: bool, is_for_admins: bool) -> None:
        super().__init__(action=action, target=target, permission=None)
        self._is_login = is_login
        self._is_for_admins = is_for_admins

    async def _admit(self, access: AccessControl, scope: Scope, state: dict[str, Any]) -> Caller:
        address, user_agent, _ = read_headers(scope, trusted=access.rules.trusted_proxies)
        origin = Origin(ip_address=address, user_agent=user_agent, request_id=state.get("request_id"))
        state["origin"] = origin
        limit: Limit = access.limits.login if self._is_login else access.limits.caller
        key = f"{self.action}:{rate_key(address)}" if self._is_login else f"address:{rate_key(address)}"
        state["response_headers"] = (await limit.take(key)).headers
        try:
            rules = await access.ip_rules()
        except Exception as error:
            raise _check_failed(error) from error
        _check_address(rules, address, admin=self._is_for_admins)
        if asks_for_cookie(scope) and kind_of(scope) == "write":
            # Nobody shall be signed in as somebody else by a page of another origin.
            check_page(access, scope)
        return _caller(ANONYMOUS, origin, state)


def requires(
    permission: str,
    *,
    action: str,
    target: str | None = None,
    limited: bool = True,
    fresh_seconds: int | None = None,
    checks_secrets: bool = False,
) -> Guard:
    """For whoever holds `permission`. `action` is what the audit log calls the request, `target` its subject,
    filled from the path (`setting/{key}`). `limited=False` is for routes outside the callers' limit; `fresh_seconds`
    is how long ago the caller may have proved who they are, for what is dangerous. `checks_secrets` says of a
    permission that guards secrets that this route itself refuses a caller who is only observed (`Caller.observed`)
    where it comes upon one; without it such a permission is never observed."""
    return Protected(
        action=action,
        target=target,
        permission=permission,
        is_limited=limited,
        fresh_seconds=fresh_seconds,
        checks_secrets=checks_secrets,
    )


def requires_unless_own(permission: str, *, action: str, target: str, owner: str) -> Guard:
    """For whoever holds `permission`, and for the administrator whom the member `owner` of the path names."""
    return Protected(action=action, target=target, permission=permission, owner=owner)


def any_admin(*, action: str, target: str | None = None, clients_need: str | None = None, login: bool = False) -> Guard:
    """For every administrator, whatever their role; for clients only where `clients_need` names what they must hold.

    `login` puts the route under the sign-in limit, counted per account: it takes a password.
    """
    return Protected(action=action, target=target, permission=None, clients_need=clients_need, is_proof=login)


def public(*, action: str, target: str | None = None, login: bool = False, admins: bool = False) -> Guard:
    """For everybody; `login` puts the route under the sign-in limit, `admins` under the addresses of administrators."""
    return Public(action=action, target=target, is_login=login, is_for_admins=admins)


def demand_fresh(request: Request, *, seconds: int = FRESH_SECONDS) -> None:
    """Raise 401 `step_up_required` unless who calls proved who they are at most `seconds` ago.

    For routes where only what the body says is dangerous; otherwise it is an option of the guard.
    """
    access: AccessControl = request.app.state.access
    caller: Caller = request.state.caller
    _check_fresh(proved_at(access, request.scope, caller.actor), seconds)


class GuardedRoute(StrictRoute):
    """The route class of the gateway: a guard is a door, so it speaks before anything of the request is parsed."""


def guard_of(dependant: Dependant | None) -> Guard | None:
    """The guard that a route declares, directly or through what it depends on."""
    if dependant is None:
        return None
    if isinstance(dependant.call, Guard):
        return dependant.call
    return next((guard for below in dependant.dependencies if (guard := guard_of(below)) is not None), None)


def install(app: FastAPI, access: AccessControl, *, open_paths: Iterable[str] = ()) -> None:
    """Give the application and what is mounted below it its access control, and check all routes."""
    check_routes(app, open_paths=open_paths)
    for one in _applications(app):
        one.state.access = access


def check_routes(app: Starlette | Sequence[BaseRoute], *, open_paths: Iterable[str] = ()) -> None:
    """Raise `UnguardedRoute` unless every route, mounted ones included, declares a guard.

    Probes need none, and neither do `open_paths`: full paths of what is meant for everybody, such as the documentation.
    """
    routes = app.routes if isinstance(app, Starlette) else app
    exempt = PROBES.union(open_paths)
    unguarded = [f"{methods} {path}" for methods, path in _unguarded(routes, "") if path not in exempt]
    if unguarded:
        raise UnguardedRoute(f"routes without a declared guard: {', '.join(sorted(unguarded))}")


def _unguarded(routes: Sequence[BaseRoute], prefix: str) -> Iterator[tuple[str, str]]:
    for context in iter_route_contexts(routes):
        path = f"{prefix}{context.path or ''}"
        mount = _mounted(context)
        if mount is not None and mount.routes:
            yield from _unguarded(mount.routes, path)
        elif guard_of(getattr(context, "dependant", None)) is None:
            yield ",".join(sorted(context.methods or ())) or "ANY", path


def _mounted(context: RouteContext) -> Mount | None:
    route = context.original_route
    return route if isinstance(route, Mount) else None


def _applications(app: Starlette) -> Iterator[Starlette]:
    yield app
    for context in iter_route_contexts(app.routes):
        mount = _mounted(context)
        if mount is not None and isinstance(mount._base_app, Starlette):
            yield from _applications(mount._base_app)


async def _check_page(access: AccessControl, scope: Scope, address: str | None) -> None:
    try:
        check_page(access, scope)
    except CsrfFailed:
        # Not of the caller's limit: it is not they who ask.
        await access.limits.caller.take(f"refused:{rate_key(address)}")
        raise


def _check_fresh(proof: int | None, seconds: int) -> None:
    if proof is None or proof + seconds < time.time():
        # RFC 9470, 3: the client asks for a newer proof and repeats the request.
        raise Unauthenticated(
            f"this needs a proof of who you are that is at most {seconds} seconds old: see POST /auth/step-up",
            code="step_up_required",
            challenge=f'Bearer error="insufficient_user_authentication", max_age={seconds}',
            max_age=seconds,
        )


def _caller(actor: Actor, origin: Origin, state: dict[str, Any]) -> Caller:
    return Caller(
        actor=actor,
        origin=origin,
        correlation_id=state.get("correlation_id") or new_id(),
        traceparent=state.get("traceparent"),
    )


def _check_address(rules: IpRules, address: str | None, *, admin: bool) -> None:
    if not rules.admits(address, admin=admin):
        raise Forbidden("this address may not call", code="address_not_allowed")


def _check_failed(error: Exception) -> PermissionCheckFailed:
    log.error("permission check failed", error=type(error).__name__)
    return PermissionCheckFailed("the permission could not be checked")
