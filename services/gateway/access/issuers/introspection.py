"""Asking an issuer about tokens that say nothing by themselves (RFC 7662)."""

import asyncio
import base64
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import quote_plus

from libs.common.egress.destinations import ForbiddenDestination
from libs.common.errors import BadRequest
from libs.common.web.body import parse_json
from services.gateway.access.cache import ShortCache
from services.gateway.access.issuers.claims import identity_of_introspection
from services.gateway.access.issuers.egress import Egress
from services.gateway.access.issuers.issuer import Issuer
from services.gateway.access.issuers.models import BadToken, Identity, IssuerUnavailable, TrustedIssuer

CACHE_SECONDS = 10.0
"""For how long an answer is believed; so late a revocation at the issuer may be seen."""
MOST_CACHED = 10_000
MOST_ASKING = 64


class Introspection:
    """The introspection endpoint of one issuer, asked at most once in ten seconds about a token."""

    def __init__(
        self,
        trusted: TrustedIssuer,
        issuer: Issuer,
        egress: Egress,
        *,
        clock: Callable[[], float],
        ticks: Callable[[], float],
        most_cached: int = MOST_CACHED,
    ) -> None:
        self._trusted = trusted
        self._issuer = issuer
        self._egress = egress
        self._clock = clock
        # Refusals are kept as well: a wrong token that is sent again and again asks nobody.
        self._answers: ShortCache[Identity | BadToken] = ShortCache(
            ttl_seconds=CACHE_SECONDS, most_keys=most_cached, clock=ticks
        )
        self._asking = 0

    async def identity(self, token: str) -> Identity:
        """Whom an opaque token stands for. Raises `BadToken`, and `IssuerUnavailable` when nobody can say."""
        key = sha256(token.encode()).hexdigest()
        found = self._answers.find(key)
        if found is None:
            found = await self._answers.load(key, lambda: self._ask(token))
        if isinstance(found, BadToken):
            raise found
        if found.expires_at <= self._clock():
            raise BadToken("it has expired")
        return found

    async def _ask(self, token: str) -> Identity | BadToken:
        if self._asking >= MOST_ASKING:
            raise IssuerUnavailable(f"{MOST_ASKING} questions to {self._trusted.issuer} wait already")
        self._asking += 1
        try:
            answer = await self._egress.post(
                await self._endpoint(),
                {"token": token, "token_type_hint": "access_token"},
                origins=self._trusted.allowed_origins,
                headers={"Authorization": self._credentials()},
            )
        except ForbiddenDestination as error:
            raise IssuerUnavailable(str(error)) from error
        finally:
            self._asking -= 1
        if answer.status != 200:
            raise IssuerUnavailable(f"introspection at {self._trusted.issuer} answered {answer.status}")
        try:
            said = parse_json(answer.body)
        except BadRequest as error:
            raise IssuerUnavailable(f"introspection at {self._trusted.issuer}: {error.message}") from error
        try:
            return identity_of_introspection(said if isinstance(said, dict) else {}, self._trusted, now=self._clock())
        except BadToken as refused:
            return refused

    async def _endpoint(self) -> str:
        endpoint = self._trusted.introspection_endpoint
        if endpoint is None:
            endpoint = (await self._issuer.metadata()).introspection_endpoint
        if endpoint is None:
            raise IssuerUnavailable(f"{self._trusted.issuer} names no introspection endpoint")
        return endpoint

    def _credentials(self) -> str:
        secret = self._trusted.client_secret
        assert self._trusted.client_id is not None
        assert secret is not None
        return basic(self._trusted.client_id, secret.get_secret_value())


def basic(client_id: str, client_secret: str) -> str:
    """A client's `Authorization` header; both halves are form-encoded first (RFC 6749, 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


async def first_identity(asked: list[Introspection], token: str) -> Identity:
    """The first issuer's word for an opaque token. Raises `BadToken` when none knows it.

    An issuer that does not answer matters only when no other one knows the token.
    """
    answers = await asyncio.gather(*(one.identity(token) for one in asked), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, Identity):
            return answer
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, BadToken):
            raise answer
    raise BadToken("no issuer knows it")
