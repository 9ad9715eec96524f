"""What is known of a token, taking one back, and the documents that describe the authorization server."""

import base64
import json
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from libs.common.database.engine import Database
from services.gateway.features.oauth.commands import MOST_REVOKED
from tests.integration.gateway.access.door import ISSUER, Door, new_door_access, open_door

Credentials = tuple[str, str]


async def ask(door: Door, endpoint: str, client: Credentials | None, **fields: str) -> httpx.Response:
    auth = httpx.BasicAuth(*client) if client is not None else None
    return await door.client.post(f"/api/v1/oauth/{endpoint}", data=fields, auth=auth or httpx.USE_CLIENT_DEFAULT)


async def token_of(door: Door, client: Credentials) -> str:
    answer = await door.client_token(*client)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def known(door: Door, client: Credentials, token: str) -> dict[str, Any]:
    answer = await ask(door, "introspect", client, token=token)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_administrators_token_is_described_without_their_address(door: Door) -> None:
    shop = await door.make_client(scopes=[])
    token = await door.token_of("viewer")
    claims = door.access.tokens.verify(token)
    found = await known(door, shop, token)
    assert found == {
        "active": True, "scope": "read", "token_type": "Bearer", "role": "viewer", "iss": ISSUER, "aud": "reeve",
        "sub": claims.sub, "user_id": claims.sub, "sid": claims.sid, "jti": claims.jti, "iat": claims.iat,
        "exp": claims.exp, "auth_time": claims.auth_time, "permission_epoch": claims.permission_epoch,
    }  # fmt: skip
    assert "@" not in str(found)


async def test_a_clients_token_is_described_with_the_scopes_that_it_was_given(door: Door) -> None:
    shop = await door.make_client(scopes=["users:read", "events:publish"])
    token = (await door.client_token(*shop, scope="users:read")).json()["access_token"]
    found = await known(door, shop, token)
    assert (found["active"], found["scope"], found["client_id"], found["sub"]) == (True, "users:read", shop[0], shop[0])


async def test_what_does_not_hold_is_not_active_and_nothing_else_is_said(door: Door) -> None:
    shop = await door.make_client(scopes=[])
    ended = await door.sign_in()
    await door.call("POST", "/auth/logout", token=ended["access_token"])
    live = await door.sign_in()
    for token in (ended["access_token"], live["refresh_token"], "guessed", "a.b.c", f"{live['access_token']}="):
        assert await known(door, shop, token) == {"active": False}


async def test_a_changed_role_shows_in_what_is_known_of_an_older_token(door: Door) -> None:
    shop = await door.make_client(scopes=[])
    token = await door.token_of("viewer")
    user = door.access.tokens.verify(token).sub
    body = {"role": "moderator"}
    changed = await door.call("PUT", f"/users/{user}/role", token=await door.token_of("super_admin"), json=body)
    assert changed.status_code == 200
    found = await known(door, shop, token)
    assert (found["scope"], found["role"]) == ("write", "moderator")
    assert found["permission_epoch"] > door.access.tokens.verify(token).permission_epoch


async def test_a_client_may_ask_with_its_own_token_too(door: Door) -> None:
    shop = await door.make_client(scopes=[])
    token = await token_of(door, shop)
    headers = {"Authorization": f"Bearer {token}"}
    answer = await door.client.post("/api/v1/oauth/introspect", data={"token": token}, headers=headers)
    assert (answer.status_code, answer.json()["active"]) == (200, True)


@pytest.mark.parametrize("endpoint", ["introspect", "revoke"])
async def test_nobody_asks_without_being_a_client(door: Door, endpoint: str) -> None:
    shop = await door.make_client(scopes=[])
    token = await token_of(door, shop)
    admin = await door.token_of("super_admin")
    answers = [
        await ask(door, endpoint, None, token=token),
        await ask(door, endpoint, (shop[0], "wrong"), token=token),
        await door.client.post(
            f"/api/v1/oauth/{endpoint}", data={"token": token}, headers={"Authorization": f"Bearer {admin}"}
        ),
    ]
    assert [(one.status_code, one.json()["error"]) for one in answers] == [(401, "invalid_client")] * 3
    assert all(one.headers["www-authenticate"].startswith("Basic") for one in answers)
    assert (await known(door, shop, token))["active"] is True


@pytest.mark.parametrize("endpoint", ["introspect", "revoke"])
async def test_a_request_without_a_token_is_malformed(door: Door, endpoint: str) -> None:
    answer = await ask(door, endpoint, await door.make_client(scopes=[]))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_secrets_are_guessed_no_faster_at_introspection_than_at_sign_in(gateway_database: Database) -> None:
    async with open_door(gateway_database, login_rate_limit="3/minute") as door:
        guesses = [await ask(door, "introspect", ("shop", "guess"), token="x") for _ in range(4)]
        assert [one.status_code for one in guesses] == [401, 401, 401, 429]


async def test_a_token_that_was_taken_back_opens_nothing_and_the_others_do(door: Door) -> None:
    elsewhere = new_door_access(door.database)
    shop = await door.make_client(scopes=["users:read"])
    gone, kept = await token_of(door, shop), await token_of(door, shop)
    await elsewhere.authenticate(gone)
    answer = await ask(door, "revoke", shop, token=gone, token_type_hint="access_token")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await door.call("GET", "/users", token=gone)).status_code == 401
    assert (await door.call("GET", "/users", token=kept)).status_code == 200
    assert await known(door, shop, gone) == {"active": False}
    (event,) = await door.events("reeve.token.revoked.v1")
    assert (event.data["client_id"], event.data["jti"]) == (shop[0], door.access.tokens.verify(gone).jti)
    assert (event.actorid, event.subject) == (shop[0], f"client/{shop[0]}")
    elsewhere.apply_event(event)
    assert await elsewhere.inspect(gone) is None
    assert await elsewhere.inspect(kept) is not None


async def test_taking_it_back_again_or_taking_nonsense_back_is_no_error(door: Door) -> None:
    shop = await door.make_client(scopes=[])
    token = await token_of(door, shop)
    for text in (token, token, "nonsense"):
        assert (await ask(door, "revoke", shop, token=text)).status_code == 200
    assert len(await door.events("reeve.token.revoked.v1")) == 1


async def test_nobody_takes_anothers_token_back(door: Door) -> None:
    shop = await door.make_client(scopes=["users:read"])
    other = await door.make_client(scopes=[], name="Other")
    for foreign in (await token_of(door, shop), await door.token_of("viewer")):
        answer = await ask(door, "revoke", other, token=foreign)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        assert await door.access.inspect(foreign) is not None


async def test_past_its_bound_a_client_takes_all_its_tokens_back_at_once(door: Door) -> None:
    shop = await door.make_client(scopes=["users:read"])
    last, other = await token_of(door, shop), await token_of(door, shop)
    await door.run_sql(
        "INSERT INTO revoked_tokens (jti, client_id, expires_at) SELECT 'j' || n, :id, now() + interval '1 hour'"
        " FROM generate_series(1, :most) n",
        id=shop[0], most=MOST_REVOKED,
    )  # fmt: skip
    assert (await ask(door, "revoke", shop, token=last)).status_code == 200
    assert [await door.access.inspect(one) for one in (last, other)] == [None, None]
    assert await door.run_sql("SELECT jti FROM revoked_tokens") == []
    assert (await door.call("GET", "/users", token=await token_of(door, shop))).status_code == 200


async def test_what_ended_by_itself_is_forgotten(door: Door) -> None:
    shop = await door.make_client(scopes=[])
    await door.run_sql("INSERT INTO revoked_tokens (jti, client_id, expires_at) VALUES ('old', 'x', now())")
    await ask(door, "revoke", shop, token=await token_of(door, shop))
    assert [row.client_id for row in await door.run_sql("SELECT client_id FROM revoked_tokens")] == [shop[0]]


async def test_a_client_that_was_deleted_and_registered_again_has_no_old_tokens(door: Door) -> None:
    admin = await door.token_of("super_admin")
    body = {"name": "Shop", "client_id": "shop", "scopes": ["users:read"], "source": "/platform/shop"}
    made = (await door.call("POST", "/clients", token=admin, json=body)).json()
    token = await token_of(door, ("shop", made["client_secret"]))
    assert (await door.call("DELETE", f"/clients/{made['id']}", token=admin)).status_code == 204
    again = (await door.call("POST", "/clients", token=admin, json=body)).json()
    assert (await door.call("GET", "/users", token=token)).status_code == 401
    fresh = await token_of(door, ("shop", again["client_secret"]))
    assert (await door.call("GET", "/users", token=fresh)).status_code == 200


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ("users SET role = 'admin'", True),
        ("users SET is_active = false", True),
        ("users SET name = 'Other', last_login_at = now()", False),
        ("clients SET scopes = '{}'", True),
        ("clients SET secret_hash = 'x'", True),
        ("clients SET name = 'Other'", False),
    ],
)
async def test_whoever_changes_rights_moves_the_epoch(door: Door, change: str, moves: bool) -> None:
    """A trigger does it: no statement of any feature can forget to."""
    await door.make_client(scopes=["users:read"])
    await door.token_of("viewer")
    table = change.split(maxsplit=1)[0]
    select = f"SELECT id, permission_epoch AS epoch FROM {table} ORDER BY id"
    before = {row.id: row.epoch for row in await door.run_sql(select)}
    await door.run_sql(f"UPDATE {change}")
    after = {row.id: row.epoch for row in await door.run_sql(select)}
    assert all((after[id_] > before[id_]) == moves for id_ in before)


async def test_a_token_from_after_a_change_ends_what_a_gateway_knew_before_it(door: Door) -> None:
    """No event reached this gateway: the token itself says that rights have changed."""
    elsewhere = new_door_access(door.database)
    tokens = await door.sign_in()
    assert (await elsewhere.authenticate(tokens["access_token"])).role == "super_admin"
    await door.make_user(role="viewer", email="v@example.com")
    await door.run_sql("UPDATE users SET role = 'viewer' WHERE email = 'first@example.com'")
    refreshed = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert (await elsewhere.authenticate(refreshed.json()["access_token"])).role == "viewer"


async def test_the_metadata_names_endpoints_that_are_there(door: Door) -> None:
    answer = await door.call("GET", "/.well-known/oauth-authorization-server")
    found = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert (found["issuer"], found["response_types_supported"]) == (ISSUER, [])
    assert found["grant_types_supported"] == ["client_credentials"]
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        path = found[name].removeprefix(ISSUER)
        assert (await door.client.post(path)).status_code in (400, 401), name
    assert (await door.client.get(found["jwks_uri"].removeprefix(ISSUER))).status_code == 200


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_anybody_verifies_our_tokens_by_the_published_keys(door: Door) -> None:
    answer = await door.call("GET", "/.well-known/jwks.json")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=300")
    keys = {key["kid"]: key for key in answer.json()["keys"]}
    signed, _, signature = (await door.token_of("viewer")).rpartition(".")
    key = keys[json.loads(decoded(signed.partition(".")[0]))["kid"]]
    assert "d" not in key
    verifier = Ed25519PublicKey.from_public_bytes(decoded(key["x"]))
    verifier.verify(decoded(signature), signed.encode())
    with pytest.raises(InvalidSignature):
        verifier.verify(decoded(signature), signed.encode() + b"x")
