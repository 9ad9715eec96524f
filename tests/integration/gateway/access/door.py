"""The parts of the gateway that decide about access, as one application, and callers of every kind."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
from argon2.profiles import CHEAPEST
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy import text
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.database.engine import Database, Session
from libs.common.events.deliveries import LinkMail, NoticeMail, SendLink, SendNotice
from libs.common.events.envelope import Event, decode
from libs.common.identity import Caller
from libs.common.sealing import Unsealer
from libs.common.web.app import create_app
from services.gateway.access import guard
from services.gateway.access.guard import GuardedRoute, public, requires
from services.gateway.access.lifetimes import Lifetimes
from services.gateway.access.passwords import Passwords
from services.gateway.access.sessions import AccessControl, Rules, new_access
from services.gateway.features.access_requests.routes import router as access_router
from services.gateway.features.approvals.commands import Approvals
from services.gateway.features.approvals.routes import router as approvals_router
from services.gateway.features.auth.routes import router as auth_router
from services.gateway.features.clients.routes import router as clients_router
from services.gateway.features.factors.commands import SecondFactors
from services.gateway.features.factors.routes import router as factors_router
from services.gateway.features.first_admin.commands import ensure_first_admin
from services.gateway.features.lifecycle.routes import router as lifecycle_router
from services.gateway.features.links.commands import Links
from services.gateway.features.notices.commands import Notices
from services.gateway.features.oauth.routes import ERROR_PREFIX, oauth_shape, well_known_router
from services.gateway.features.oauth.routes import router as oauth_router
from services.gateway.features.oidc.routes import router as oidc_router
from services.gateway.features.passwords.commands import answer_request
from services.gateway.features.passwords.routes import router as passwords_router
from services.gateway.features.passwords.routes import users_router as activation_router
from services.gateway.features.promotions.commands import kinds as promotions
from services.gateway.features.roles.routes import router as roles_router
from services.gateway.features.security.routes import router as security_router
from services.gateway.features.sessions.routes import router as sessions_router
from services.gateway.features.user_bulk.routes import router as user_bulk_router
from services.gateway.features.users.routes import router as users_router

SUPER_ADMIN = "first@example.com"
PASSWORD = "correct horse battery"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
ISSUER = "http://reeve.test"
PAGES = "https://reeve.test"
"""The origin whose pages may use a session's cookie."""
ADMIN = "/api/v1/admin"
GENEROUS = "100000/minute"
POSTMAN = Unsealer(b"n" * 32)
"""Opens what is sealed to the notifications service."""

# Routes of other features stand behind these: a read, a write, a publication outside the limit, a public page.
samples = APIRouter(prefix="/samples", route_class=GuardedRoute)


@samples.get("/{key}")
async def read_sample(
    caller: Annotated[Caller, Depends(requires("settings:read", action="read_sample", target="sample/{key}"))], key: str
) -> dict[str, str]:
    return {"key": key, "caller": caller.actor.id}


@samples.put("/{key}")
async def write_sample(
    caller: Annotated[Caller, Depends(requires("settings:write", action="write_sample", target="sample/{key}"))],
    key: str,
    body: dict[str, int],
) -> dict[str, str]:
    return {"key": key}


@samples.post("")
async def publish_sample(
    caller: Annotated[Caller, Depends(requires("events:publish", action="publish_sample", limited=False))],
) -> dict[str, str]:
    return {"source": caller.actor.id}


@samples.get("")
async def public_sample(caller: Annotated[Caller, Depends(public(action="view_public_sample"))]) -> dict[str, str]:
    return {"caller": caller.actor.id}


class Unreachable(Database):
    """A database whose connections are all gone."""

    def __init__(self, error: Exception) -> None:
        super().__init__("postgresql://nobody@127.0.0.1:1/none", schema="gateway", application="test")
        self._error = error

    def reading(self):  # type: ignore[no-untyped-def]
        return self._broken()

    @asynccontextmanager
    async def _broken(self) -> AsyncIterator[Session]:
        raise self._error
        yield


class Watch:
    """Sees what the recorder will see: the state that a request left, and adds the headers that it is to add to an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.state: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name for name, _ in message["headers"]}
                left = [one for one in scope["state"].get("response_headers", ()) if one[0] not in said]
                message["headers"] = [*message["headers"], *left]
            await send(message)

        scope.setdefault("state", {})
        await self._app(scope, receive, answer)
        self.state = scope["state"]


@dataclass(slots=True)
class Door:
    """The running application with a way in for everybody."""

    database: Database
    access: AccessControl
    app: FastAPI
    watch: Watch
    client: httpx.AsyncClient
    addresses: int = 0
    _tokens: dict[str, str] = field(default_factory=dict)
    _second: str | None = None
    """The address of another super admin, once there is one."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request below the admin path (or at a path of its own that starts with /api)."""
        sent = {**({"Authorization": f"Bearer {token}"} if token is not None else {}), **(headers or {})}
        return await self.client.request(
            method, path if path.startswith(("/api", "/.well-known")) else ADMIN + path, json=json, headers=sent
        )

    async def sign_in(self, email: str = SUPER_ADMIN, password: str = PASSWORD) -> dict[str, Any]:
        """Sign in; the body of the answer."""
        answer = await self.call("POST", "/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def token_of(self, role: str) -> str:
        """An access token of an administrator with this role, made on first use; `super_admin` is the first one."""
        if role not in self._tokens:
            email = SUPER_ADMIN if role == "super_admin" else f"{role}@example.com"
            if role != "super_admin":
                await self.make_user(role=role, email=email)
            self._tokens[role] = str((await self.sign_in(email))["access_token"])
        return self._tokens[role]

    async def make_user(self, *, role: str, email: str, password: str | None = PASSWORD) -> dict[str, Any]:
        """A new account, made by the first super admin, and approved by the second where it takes that."""
        body = {"email": email, "name": "Somebody", "role": role, **({"password": password} if password else {})}
        answer = await self.call("POST", "/users", token=await self.token_of("super_admin"), json=body)
        if answer.status_code == 202:
            return await self._approved(answer.json())
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        if role == "super_admin" and password == PASSWORD:
            self._second = email
        return made

    async def _approved(self, waiting: dict[str, Any]) -> dict[str, Any]:
        assert self._second is not None
        token = (await self.sign_in(self._second))["access_token"]
        answer = await self.call("POST", f"/approvals/{waiting['id']}/approve", token=token)
        assert answer.status_code == 200, answer.text
        made = await self.call("GET", f"/users/{waiting['target'].partition('/')[2]}", token=token)
        found: dict[str, Any] = made.json()
        return found

    async def make_client(self, *, scopes: list[str], name: str = "Shop") -> tuple[str, str]:
        """A registered client: its id and its secret."""
        body = {"name": name, "scopes": scopes, "source": "/platform/shop", "event_types": ["com.shop.*"]}
        answer = await self.call("POST", "/clients", token=await self.token_of("super_admin"), json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["client_id"], answer.json()["client_secret"]

    async def client_token(self, client_id: str, secret: str, **fields: str) -> httpx.Response:
        """Ask the token endpoint."""
        return await self.client.post(
            "/api/v1/oauth/token", data={"grant_type": "client_credentials", **fields}, auth=(client_id, secret)
        )

    async def events(self, wire_type: str | None = None) -> list[Event]:
        """What is in the outbox, in order."""
        async with self.database.reading() as session:
            rows = await session.execute(text("SELECT body FROM outbox ORDER BY position"))
            found = [decode(row.body) for row in rows]
        return [event for event in found if wire_type is None or event.type == wire_type]

    async def mails(self) -> list[LinkMail]:
        """What the notifications service is asked to send, opened, in order."""
        commands = await self.events(SendLink.TYPE)
        return [LinkMail.model_validate_json(POSTMAN.unseal(one.data["sealed"])) for one in commands]

    async def letters(self) -> list[NoticeMail]:
        """What people are told of their accounts, opened, in order, once everybody was told who may be now."""
        while await Notices(POSTMAN.public_key, public_url=PAGES).tell_next(self.database):
            pass
        commands = await self.events(SendNotice.TYPE)
        return [NoticeMail.model_validate_json(POSTMAN.unseal(one.data["sealed"])) for one in commands]

    async def last_token(self) -> str:
        """The token of the link that was sent last."""
        return (await self.mails())[-1].url.partition("#token=")[2]

    async def forget(self, email: str) -> httpx.Response:
        """Ask for a reset link, and have all such requests answered."""
        answer = await self.call("POST", "/auth/password/forgot", json={"email": email})
        while await answer_request(self.database, self.app.state.links):
            pass
        return answer

    async def run_sql(self, statement: str, **values: object) -> list[Any]:
        """Reach around the application."""
        async with self.database.reading() as session:
            result = await session.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []


def new_door_access(database: Database, **rates: str) -> AccessControl:
    """Access control over a database, as one gateway instance has it."""
    return new_access(
        database,
        signing_key=KEY,
        issuer=ISSUER,
        rate_limit=rates.get("rate_limit", GENEROUS),
        login_rate_limit=rates.get("login_rate_limit", GENEROUS),
        rules=Rules(
            cursor_secret=b"c" * 32,
            lifetimes=_lifetimes(rates),
            observes=rates.get("enforcement") == "observe",
            browser_origins=(PAGES,),
        ),
        passwords=Passwords(CHEAPEST),
    )


def _lifetimes(rates: Mapping[str, str]) -> Lifetimes:
    return Lifetimes(
        idle_seconds=int(rates.get("idle_seconds", "3600")),
        absolute_seconds=int(rates.get("absolute_seconds", "43200")),
    )


_UNUSED: list[FastAPI] = []
"""Applications whose door is closed: to make one takes longer than most tests."""


@asynccontextmanager
async def open_door(database: Database, **rates: str) -> AsyncIterator[Door]:
    """The application over a database, and its first super admin."""
    access = new_door_access(database, **rates)
    app = _UNUSED.pop() if _UNUSED else _new_app()
    app.state.factors = SecondFactors(b"f" * 32, issuer="Reeve")
    app.state.oidc = None
    app.state.links = Links(POSTMAN.public_key, public_url=ISSUER)
    waits_seconds = int(rates.get("approval_seconds", "86400"))
    app.state.approvals = Approvals(promotions(app.state.links), waits_seconds=waits_seconds)
    guard.install(app, access)
    watch = Watch(app)
    transport = httpx.ASGITransport(app=watch, client=("203.0.113.7", 4321))
    await ensure_first_admin(database, SUPER_ADMIN, PASSWORD, hasher=access.passwords)
    async with httpx.AsyncClient(transport=transport, base_url="http://reeve.test") as client:
        yield Door(database, access, app, watch, client)
    access.close()
    _UNUSED.append(app)


def _new_app() -> FastAPI:
    """Routes alone: what they work on is the state that each door sets."""
    app = create_app(
        service="gateway", title="Reeve", version="0", checks={}, public=True, error_shapes={ERROR_PREFIX: oauth_shape}
    )
    for router in (
        auth_router, passwords_router, activation_router, factors_router, oidc_router, users_router, user_bulk_router,
        lifecycle_router, sessions_router, clients_router, roles_router, access_router, approvals_router, security_router, samples,
    ):  # fmt: skip
        app.include_router(router, prefix=ADMIN)
    app.include_router(oauth_router, prefix="/api/v1")
    app.include_router(well_known_router)
    return app
