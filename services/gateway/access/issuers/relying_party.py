"""This gateway as a client of one OpenID Provider: the authorization code flow with PKCE (OpenID Connect Core 1.0, 3.1)."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr

from libs.common.egress.destinations import ForbiddenDestination
from libs.common.errors import BadRequest
from libs.common.web.body import parse_json
from services.gateway.access.issuers.compact import Compact, read_compact, verify
from services.gateway.access.issuers.egress import Answer, Egress
from services.gateway.access.issuers.id_tokens import (
    Expected,
    LoggedOut,
    SignedIn,
    read_id_token,
    read_logout_token,
)
from services.gateway.access.issuers.introspection import basic
from services.gateway.access.issuers.issuer import Issuer
from services.gateway.access.issuers.metadata import Metadata
from services.gateway.access.issuers.models import DEFAULT_ALGORITHMS, BadToken, IssuerUnavailable

SCOPE = "openid profile email"
ID_TOKEN_ALGORITHMS = (*DEFAULT_ALGORITHMS, "PS256", "Ed25519")
MOST_CODE_CHARACTERS = 2048


@dataclass(frozen=True, slots=True)
class Registration:
    """How this gateway is registered there. Without a secret it is a public client, and PKCE alone protects the code."""

    client_id: str
    client_secret: SecretStr | None
    redirect_uri: str


class CodeRefused(Exception):
    """The provider does not exchange this code. Its OAuth error code, for the log."""


class RelyingParty:
    """Sends browsers to the provider, and learns from it who came back."""

    def __init__(
        self, issuer: Issuer, egress: Egress, registration: Registration, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.issuer = issuer
        self._egress = egress
        self._registration = registration
        self._expected = Expected(issuer.url, registration.client_id)
        self._clock = clock

    async def authorization_url(self, *, state: str, nonce: str, challenge: str) -> str:
        """Where the browser goes to sign in. Raises `IssuerUnavailable`."""
        endpoint = _there(await self.issuer.metadata(), "authorization_endpoint")
        asked = {
            "response_type": "code",
            "client_id": self._registration.client_id,
            "redirect_uri": self._registration.redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def check_sender(self, iss: str | None) -> None:
        """Raise `BadToken` when an answer is another provider's (RFC 9207, 2.4), or does not say although it should."""
        metadata = await self.issuer.metadata()
        if iss is None and metadata.authorization_response_iss_parameter_supported:
            raise BadToken("the answer does not say whose it is")
        if iss is not None and iss != self.issuer.url:
            raise BadToken("the answer is another issuer's")

    async def redeem(self, code: str, *, verifier: str, nonce: str, role_claim: str) -> SignedIn:
        """Who a code stands for. Raises `CodeRefused`, `BadToken` and `IssuerUnavailable`.

        Claims that the ID token lacks are asked of the userinfo endpoint (Core, 5.3), for the same subject.
        """
        metadata = await self.issuer.metadata()
        tokens = await self._exchange(metadata, code, verifier)
        access_token, id_token = tokens.get("access_token"), tokens.get("id_token")
        if not isinstance(access_token, str) or not isinstance(id_token, str):
            raise BadToken("the answer has no ID token")
        compact = await self._verified(id_token)
        found = read_id_token(compact, self._expected, nonce=nonce, access_token=access_token, now=self._clock())
        told = found.claims.keys()
        if {"email", "name"} <= told and (role_claim in told or role_claim.partition(".")[0] in told):
            return found
        return await self._with_userinfo(metadata, found, access_token)

    async def logged_out(self, logout_token: str) -> LoggedOut:
        """What a logout token asks for. Raises `BadToken` and `IssuerUnavailable`."""
        return read_logout_token(await self._verified(logout_token), self._expected, now=self._clock())

    async def _exchange(self, metadata: Metadata, code: str, verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._registration.redirect_uri,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        secret = self._registration.client_secret
        methods = metadata.token_endpoint_auth_methods_supported
        if secret is not None and "client_secret_basic" in methods:
            headers["Authorization"] = basic(self._registration.client_id, secret.get_secret_value())
        else:
            form["client_id"] = self._registration.client_id
            if secret is not None:
                form["client_secret"] = secret.get_secret_value()
        endpoint = _there(metadata, "token_endpoint")
        answer = await _asked(self._egress.post(endpoint, form, origins=self.issuer.origins, headers=headers))
        if answer.status in (400, 401, 403):
            error = _object(answer).get("error")
            raise CodeRefused(error if isinstance(error, str) else str(answer.status))
        return _object(answer, status=200)

    async def _with_userinfo(self, metadata: Metadata, found: SignedIn, access_token: str) -> SignedIn:
        if metadata.userinfo_endpoint is None:
            return found
        headers = {"Authorization": f"Bearer {access_token}"}
        answer = await _asked(
            self._egress.get(metadata.userinfo_endpoint, origins=self.issuer.origins, headers=headers)
        )
        said = _object(answer, status=200)
        if said.get("sub") != found.subject:
            raise BadToken("userinfo is of another subject")
        # What the signed token says stays as it says it.
        return SignedIn(found.subject, found.sid, {**said, **found.claims})

    async def _verified(self, token: str) -> Compact:
        compact = read_compact(token)
        if compact.algorithm not in ID_TOKEN_ALGORITHMS:
            raise BadToken("its algorithm is not allowed")
        key = await self.issuer.key(compact.kid)
        if key is None:
            raise BadToken("no such key")
        verify(compact, key, allowed=ID_TOKEN_ALGORITHMS)
        return compact


def _there(metadata: Metadata, name: str) -> str:
    endpoint: str | None = getattr(metadata, name)
    if endpoint is None:
        raise IssuerUnavailable(f"{metadata.issuer} has no {name}")
    return endpoint


async def _asked(call: Awaitable[Answer]) -> Answer:
    try:
        return await call
    except ForbiddenDestination as error:
        raise IssuerUnavailable(str(error)) from error


def _object(answer: Answer, *, status: int | None = None) -> dict[str, Any]:
    if status is not None and answer.status != status:
        raise IssuerUnavailable(f"the provider answered {answer.status}")
    try:
        found = parse_json(answer.body)
    except BadRequest as error:
        raise IssuerUnavailable(f"the provider's answer: {error.message}") from error
    if not isinstance(found, dict):
        raise IssuerUnavailable("the provider's answer is no object")
    return found
