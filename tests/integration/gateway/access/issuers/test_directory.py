"""Tokens of a real OpenID Provider, and of an issuer that lies: which of them are known, and as whom."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from libs.common.errors import Unauthenticated, Unavailable
from services.gateway.access.issuers.directory import TrustedIssuers
from services.gateway.access.issuers.egress import Egress
from services.gateway.access.issuers.introspection import CACHE_SECONDS
from services.gateway.access.issuers.issuer import REFETCH_SECONDS
from services.gateway.access.issuers.models import Identity, TrustedIssuer
from services.gateway.access.permissions import Role
from tests.support.foreign_tokens import RSA_KEY, claims, public_jwk, token
from tests.support.issuer_stand import IssuerStand, Page
from tests.support.openid_provider import (
    AUDIENCE,
    CLIENT_ID,
    CLIENT_SECRET,
    FOREIGN,
    OPAQUE,
    OpenIdProvider,
    running_provider,
    sign_in_at,
)

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, appendix B
CALLBACK = "https://reeve.test/callback"


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def trusting(url: str, **changes: Any) -> TrustedIssuer:
    return TrustedIssuer(issuer=url, audience=AUDIENCE, **{"role_map": {"reeve-admins": Role.ADMIN}, **changes})


def directory(egress: Egress, *trusted: TrustedIssuer, **how: Any) -> TrustedIssuers:
    return TrustedIssuers(trusted, egress, **how)


def introspecting(provider: OpenIdProvider, egress: Egress, **how: Any) -> TrustedIssuers:
    return directory(egress, trusting(provider.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET), **how)


async def is_refused(issuers: TrustedIssuers, text: str) -> bool:
    try:
        return await issuers.identify(text) is None
    except Unauthenticated as error:
        return error.code == "invalid_token"


async def id_token(provider: OpenIdProvider) -> dict[str, Any]:
    await provider.configure(accounts={"alice": {"roles": ["reeve-admins"], "email": "alice@idp.example"}})
    async with provider.browser() as http:
        url = (
            f"{provider.issuer}/auth?client_id={CLIENT_ID}&response_type=code&redirect_uri={CALLBACK}&scope=openid+offline_access"
            f"&prompt=consent&code_challenge={CHALLENGE}&code_challenge_method=S256"
        )
        back = await sign_in_at(http, url, login="alice", until=CALLBACK)
    code = back.partition("code=")[2].partition("&")[0]
    return await provider.exchange(
        {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    )


async def test_an_access_token_of_a_real_provider_stands_for_its_subject(
    provider: OpenIdProvider, egress: Egress
) -> None:
    found = await directory(egress, trusting(provider.issuer)).identify(await provider.token())
    assert found is not None
    assert (found.issuer, found.subject, found.role) == (provider.issuer, CLIENT_ID, Role.ADMIN)


async def test_no_other_token_of_the_provider_is_taken(provider: OpenIdProvider, egress: Egress) -> None:
    issuers = introspecting(provider, egress)
    answered = await id_token(provider)
    assert {"id_token", "refresh_token", "access_token"} <= answered.keys()
    for name in ("id_token", "refresh_token", "access_token"):
        assert await is_refused(issuers, answered[name]), name
    assert await is_refused(issuers, await provider.token(FOREIGN))
    assert not await is_refused(issuers, await provider.token())


async def test_an_opaque_token_is_asked_about_once_in_a_while(stand: IssuerStand, egress: Egress) -> None:
    stand.publish(introspection_endpoint=f"{stand.url}/introspect")
    body = (
        b'{"active":true,"sub":"alice","client_id":"spa","aud":"reeve-api","exp":4000000000,"roles":["reeve-admins"]}'
    )
    stand.pages["/introspect"] = Page(body)
    issuers = directory(egress, trusting(stand.url, client_id="a b", client_secret="p:w%"))
    found = await asyncio.gather(*(issuers.identify("opaque-token") for _ in range(30)))
    assert {one.subject for one in found if one is not None} == {"alice"}
    assert stand.hits["/introspect"] == 1
    assert stand.forms == [{"token": "opaque-token", "token_type_hint": "access_token"}]
    assert stand.credentials == ["Basic YStiOnAlM0F3JTI1"]  # a+b:p%3Aw%25


async def test_a_refused_opaque_token_is_remembered_as_refused(stand: IssuerStand, egress: Egress) -> None:
    stand.publish(introspection_endpoint=f"{stand.url}/introspect")
    stand.pages["/introspect"] = Page(b'{"active":false}')
    issuers = directory(egress, trusting(stand.url, client_id="a", client_secret="b"))
    for _ in range(20):
        assert await is_refused(issuers, "guessed")
    assert stand.hits["/introspect"] == 1


@pytest.mark.parametrize(
    "page", [Page(status=500), Page(status=401), Page(b"no"), Page(status=302, headers={"Location": "/x"}), Page(seconds=30)]
)  # fmt: skip
async def test_an_introspection_that_cannot_be_had_is_said_to_be_so(
    stand: IssuerStand, hurried_egress: Egress, page: Page
) -> None:
    stand.publish(introspection_endpoint=f"{stand.url}/introspect")
    stand.pages["/introspect"] = page
    issuers = directory(hurried_egress, trusting(stand.url, client_id="a", client_secret="b"))
    with pytest.raises(Unavailable) as raised:
        await issuers.identify("opaque-token")
    assert raised.value.code == "issuer_unavailable"


async def test_a_real_provider_is_asked_about_its_opaque_tokens(provider: OpenIdProvider, egress: Egress) -> None:
    issuers = introspecting(provider, egress)
    opaque = await provider.token(OPAQUE)
    found = await issuers.identify(opaque)
    assert found is not None
    assert (found.subject, found.role, found.key) == (CLIENT_ID, Role.ADMIN, None)
    assert await is_refused(issuers, "never-issued")


async def test_a_revoked_opaque_token_ends_when_the_answer_is_asked_for_again(
    provider: OpenIdProvider, egress: Egress
) -> None:
    opaque = await provider.token(OPAQUE)
    ticks = Ticks()
    issuers = introspecting(provider, egress, ticks=ticks)
    assert await issuers.identify(opaque) is not None
    await provider.revoke(opaque)
    ticks.now += CACHE_SECONDS
    assert await is_refused(issuers, opaque)


async def test_without_introspection_an_opaque_token_concerns_nobody(provider: OpenIdProvider, egress: Egress) -> None:
    assert await directory(egress, trusting(provider.issuer)).identify(await provider.token(OPAQUE)) is None


async def test_a_token_of_an_issuer_that_is_not_trusted_concerns_nobody(
    provider: OpenIdProvider, stand: IssuerStand, egress: Egress
) -> None:
    assert await directory(egress, trusting(stand.url)).identify(await provider.token()) is None
    assert stand.hits == {}


async def test_one_issuer_cannot_speak_for_another(
    stand: IssuerStand, provider: OpenIdProvider, egress: Egress
) -> None:
    issuers = directory(egress, trusting(stand.url), trusting(provider.issuer))
    now = int(time.time())
    said = claims(iss=provider.issuer, exp=now + 60, iat=now)
    assert await is_refused(issuers, token(said))
    assert not await is_refused(issuers, token({**said, "iss": stand.url}))


async def test_the_list_of_algorithms_is_the_issuers_own(stand: IssuerStand, egress: Egress) -> None:
    now = int(time.time())
    text = token(claims(iss=stand.url, exp=now + 60, iat=now))
    assert await is_refused(directory(egress, trusting(stand.url, algorithms=["RS256", "EdDSA"])), text)
    assert stand.hits == {}
    assert not await is_refused(directory(egress, trusting(stand.url, algorithms=["ES256"])), text)


async def test_rotation_with_overlap_fails_nobody(provider: OpenIdProvider, egress: Egress) -> None:
    ticks = Ticks()
    issuers = directory(egress, trusting(provider.issuer), ticks=ticks)
    before = await provider.token()
    assert await issuers.identify(before) is not None
    await provider.rotate()
    ticks.now += REFETCH_SECONDS
    for _ in range(20):
        assert await issuers.identify(await provider.token()) is not None
        assert await issuers.identify(before) is not None


async def test_a_withdrawn_key_withdraws_its_tokens_although_they_were_seen(stand: IssuerStand, egress: Egress) -> None:
    ticks = Ticks()
    issuers = directory(egress, trusting(stand.url), ticks=ticks)
    now = int(time.time())
    text = token(claims(iss=stand.url, exp=now + 600, iat=now))
    assert await issuers.identify(text) is not None
    stand.publish(public_jwk(RSA_KEY, kid="key-2"))
    ticks.now += REFETCH_SECONDS
    by_new_key = token(claims(iss=stand.url, exp=now + 600, iat=now), algorithm="RS256", kid="key-2")
    assert await issuers.identify(by_new_key) is not None
    assert await is_refused(issuers, text)


async def test_another_key_under_the_same_name_withdraws_its_tokens(stand: IssuerStand, egress: Egress) -> None:
    ticks = Ticks()
    issuers = directory(egress, trusting(stand.url), ticks=ticks)
    now = int(time.time())
    text = token(claims(iss=stand.url, exp=now + 600, iat=now))
    assert await issuers.identify(text) is not None
    stand.publish(public_jwk(RSA_KEY))
    ticks.now += REFETCH_SECONDS
    assert await is_refused(issuers, token(claims(iss=stand.url), kid="unknown"))
    assert await is_refused(issuers, text)


async def test_known_keys_work_while_the_provider_is_down(egress: Egress) -> None:
    async with running_provider() as provider:
        await provider.configure(clientRoles=["reeve-admins"])
        ticks = Ticks()
        issuers = directory(egress, trusting(provider.issuer), ticks=ticks)
        seen, unseen = await provider.token(), await provider.token()
        assert await issuers.identify(seen) is not None
        await provider.stop()
    ticks.now += REFETCH_SECONDS
    assert await issuers.identify(seen) is not None
    assert await issuers.identify(unseen) is not None
    assert await is_refused(issuers, token(claims(iss=provider.issuer), kid="unknown"))


async def test_an_issuer_never_seen_is_unavailable_and_nothing_is_granted(egress: Egress) -> None:
    issuers = directory(egress, trusting("http://127.0.0.1:1"))
    with pytest.raises(Unavailable):
        await issuers.identify(token(claims(iss="http://127.0.0.1:1")))


async def test_what_is_remembered_is_bounded_and_expires(stand: IssuerStand, egress: Egress) -> None:
    clock = _shifted(0)
    issuers = directory(egress, trusting(stand.url), clock=clock, most_remembered=10)
    now = int(time.time())
    texts = [token(claims(iss=stand.url, exp=now + 60, iat=now, jti=str(number))) for number in range(30)]
    for text in texts:
        assert isinstance(await issuers.identify(text), Identity)
    assert len(issuers._verified) <= 10
    clock.seconds = 121  # type: ignore[attr-defined]
    for text in texts:
        assert await is_refused(issuers, text)


def _shifted(seconds: float) -> Callable[[], float]:
    def clock() -> float:
        return time.time() + clock.seconds  # type: ignore[attr-defined,no-any-return]

    clock.seconds = seconds  # type: ignore[attr-defined]
    return clock
