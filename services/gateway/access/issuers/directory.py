"""Every issuer that is trusted, and the one question asked of them: whom does this token stand for?"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from hashlib import sha256

from prometheus_client import Counter

from libs.common import logs
from libs.common.errors import Unauthenticated, Unavailable
from services.gateway.access.issuers.claims import identity_of_token
from services.gateway.access.issuers.compact import looks_signed, read_compact, verify
from services.gateway.access.issuers.egress import Egress
from services.gateway.access.issuers.introspection import Introspection, first_identity
from services.gateway.access.issuers.issuer import Issuer
from services.gateway.access.issuers.models import BadToken, Identity, IssuerUnavailable, TrustedIssuer
from services.gateway.access.tokens import invalid_token

MOST_REMEMBERED = 20_000
_OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]{1,2048}=*")  # RFC 6750, 2.1

_TOKENS = Counter("reeve_external_tokens", "Tokens of other issuers, by what came of them.", ("result",))
log = logs.get("issuers")


class TrustedIssuers:
    """The configured issuers. Verified tokens are remembered until they expire or their key is withdrawn."""

    def __init__(
        self,
        trusted: Sequence[TrustedIssuer],
        egress: Egress,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        most_remembered: int = MOST_REMEMBERED,
    ) -> None:
        self._trusted = {one.issuer: one for one in trusted}
        self._issuers = {
            one.issuer: Issuer(one.issuer, origins=one.allowed_origins, egress=egress, clock=ticks) for one in trusted
        }
        self._introspecting = [
            Introspection(one, self._issuers[one.issuer], egress, clock=clock, ticks=ticks)
            for one in trusted
            if one.client_id is not None
        ]
        self._clock = clock
        self._verified: dict[bytes, Identity] = {}
        self._most_remembered = most_remembered

    async def run(self) -> None:
        """Keep every issuer's document and keys fresh until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())  # Without issuers there is nothing to do, and yet no end.
            for issuer in self._issuers.values():
                group.create_task(issuer.run())

    async def identify(self, token: str) -> Identity | None:
        """Whom a token stands for; None when no trusted issuer is concerned by it.

        Raises `Unauthenticated` when it does not hold, and `Unavailable` when that cannot be known now.
        """
        try:
            found = await (self._signed(token) if looks_signed(token) else self._opaque(token))
        except BadToken as error:
            _TOKENS.labels("refused").inc()
            log.debug("external token refused", reason=str(error))
            raise refused() from error
        except IssuerUnavailable as error:
            _TOKENS.labels("unavailable").inc()
            raise Unavailable("the issuer of this token does not answer", code="issuer_unavailable") from error
        if found is not None:
            _TOKENS.labels("accepted").inc()
        return found

    async def _signed(self, token: str) -> Identity | None:
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        remembered = self._verified.get(digest)
        if remembered is not None:
            if self._still_holds(remembered):
                return remembered
            del self._verified[digest]
        compact = read_compact(token)
        issuer = self._issuers.get(str(compact.claims.get("iss")))
        if issuer is None:
            return None
        trusted = self._trusted[issuer.url]
        if compact.algorithm not in trusted.algorithms:
            raise BadToken("its algorithm is not on the issuer's list")
        key = await issuer.key(compact.kid)
        if key is None:
            raise BadToken("no such key")
        verify(compact, key, allowed=trusted.algorithms)
        identity = identity_of_token(compact, trusted, key=key.thumbprint, now=self._clock())
        self._remember(digest, identity)
        return identity

    async def _opaque(self, token: str) -> Identity | None:
        if not self._introspecting or not _OPAQUE.fullmatch(token):
            return None
        return await first_identity(self._introspecting, token)

    def _still_holds(self, identity: Identity) -> bool:
        is_vouched_for = identity.key is not None and self._issuers[identity.issuer].holds(identity.key)
        return is_vouched_for and identity.expires_at > self._clock()

    def _remember(self, digest: bytes, identity: Identity) -> None:
        if len(self._verified) >= self._most_remembered:
            self._verified = {key: kept for key, kept in self._verified.items() if self._still_holds(kept)}
            if len(self._verified) >= self._most_remembered:
                self._verified.clear()
        self._verified[digest] = identity


def refused() -> Unauthenticated:
    """The same refusal as of our own tokens (RFC 6750, 3.1): why stays in the log."""
    return invalid_token()
