"""Platform services: registered, let in by their secret, and forgotten."""

from typing import Any

import pytest
from pydantic import SecretStr

from services.gateway.features.clients.commands import register_configured
from services.gateway.features.clients.models import Registration
from tests.integration.gateway.access.door import Door, new_door_access

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def shop(**changes: Any) -> Registration:
    return Registration.model_validate(
        {"client_id": "shop", "client_secret": SecretStr("shop-secret"), "scopes": ["events:publish"],
         "source": "/platform/shop", "event_types": ["com.shop.*"], **changes}
    )  # fmt: skip


async def test_a_registration_shows_its_secret_once(door: Door) -> None:
    body = {"name": "Shop", "scopes": ["events:publish"], "source": "/platform/shop", "event_types": ["com.shop.*"]}
    token = await door.token_of("super_admin")
    answer = await door.call("POST", "/clients", token=token, json=body)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/admin/clients/{made['id']}"
    secret = made.pop("client_secret")
    assert len(secret) >= 24
    assert (await door.call("GET", f"/clients/{made['id']}", token=token)).json() == made
    assert (await door.call("GET", "/clients", token=token)).json()["clients"] == [made]
    (event,) = await door.events("reeve.client.registered.v1")
    assert (event.data["client_id"], event.data["source"], event.data["event_types"]) == (
        made["client_id"],
        "/platform/shop",
        ["com.shop.*"],
    )
    assert secret not in str(
        await door.run_sql("SELECT convert_from(body, 'UTF8') FROM outbox UNION ALL SELECT c::text FROM clients c")
    )


async def test_a_client_gets_a_token_by_header_or_form(door: Door) -> None:
    client_id, secret = await door.make_client(scopes=["events:publish", "users:read"])
    by_header = await door.client_token(client_id, secret)
    body = by_header.json()
    assert by_header.status_code == 200
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 900, "events:publish users:read")
    assert (by_header.headers["cache-control"], by_header.headers["pragma"]) == ("no-store", "no-cache")
    assert door.watch.state["caller"].actor.client_id == client_id
    assert (door.watch.state["action"], door.watch.state["target"]) == ("issue_token", f"client/{client_id}")
    by_form = await door.client.post(
        "/api/v1/oauth/token",
        data={
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secret,
            "scope": "users:read",
        },
    )
    assert by_form.json()["scope"] == "users:read"
    for answer, may_publish in ((by_header, True), (by_form, False)):
        token = answer.json()["access_token"]
        assert (await door.call("GET", "/users", token=token)).status_code == 200
        assert (await door.call("POST", "/samples", token=token)).status_code == (200 if may_publish else 403)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=authorization_code&code=x", "unsupported_grant_type"),
        ("grant_type=client_credentials&scope=audit%3Aread", "invalid_scope"),
        ("grant_type=client_credentials&scope=events%3Apublish+audit%3Aread", "invalid_scope"),
        ("grant_type=client_credentials&client_secret=twice", "invalid_request"),
        ("grant_type=%ff", "invalid_request"),
        ("\xff\xfe", "invalid_request"),
    ],
)
async def test_a_wrong_token_request_is_told_in_oauths_words(door: Door, fields: str, code: str) -> None:
    credentials = await door.make_client(scopes=["events:publish"])
    answer = await door.client.post(
        "/api/v1/oauth/token", content=fields.encode("latin-1"), headers=FORM, auth=credentials
    )
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert set(answer.json()) == {"error", "error_description"}


async def test_wrong_credentials_are_told_alike(door: Door) -> None:
    client_id, secret = await door.make_client(scopes=["events:publish"])
    answers = [
        await door.client_token(client_id, "x" * 24),
        await door.client_token("nobody", secret),
        await door.client_token(client_id, ""),
        await door.client.post("/api/v1/oauth/token", data={"grant_type": "client_credentials"}),
    ]
    assert {(answer.status_code, answer.text, answer.headers["www-authenticate"]) for answer in answers} == {
        (401, '{"error":"invalid_client","error_description":"client authentication failed"}', 'Basic realm="reeve"')
    }


async def test_a_json_body_is_no_token_request(door: Door) -> None:
    answer = await door.call("POST", "/api/v1/oauth/token", json={"grant_type": "client_credentials"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_deleted_client_is_out_at_once(door: Door) -> None:
    client_id, secret = await door.make_client(scopes=["users:read"])
    token = (await door.client_token(client_id, secret)).json()["access_token"]
    elsewhere = new_door_access(door.database)
    await elsewhere.authenticate(token)
    admin = await door.token_of("super_admin")
    assert (await door.call("GET", "/users", token=token)).status_code == 200
    (made,) = (await door.call("GET", "/clients", token=admin)).json()["clients"]
    gone = await door.call("DELETE", f"/clients/{made['id']}?confirm=true", token=admin)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await door.call("GET", "/users", token=token)).status_code == 401
    assert (await door.client_token(client_id, secret)).status_code == 401
    (event,) = await door.events("reeve.client.deleted.v1")
    elsewhere.apply_event(event)
    with pytest.raises(Exception, match="not registered"):
        await elsewhere.authenticate(token)
    elsewhere.close()
    again = await door.call("DELETE", f"/clients/{made['id']}", token=admin)
    assert (again.status_code, again.json()["detail"]["error"]) == (404, "client_not_found")


async def test_a_client_cannot_hand_on_what_it_does_not_hold(door: Door) -> None:
    client_id, secret = await door.make_client(scopes=["roles:write", "users:write"])
    token = (await door.client_token(client_id, secret)).json()["access_token"]
    body = {"name": "More", "scopes": ["settings:write"], "source": "/platform/more"}
    answer = await door.call("POST", "/clients", token=token, json=body)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "insufficient_role")
    answer = await door.call(
        "POST", "/users", token=token, json={"email": "n@example.com", "name": "x", "role": "viewer"}
    )
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "insufficient_role")
    assert (
        await door.call("POST", "/clients", token=token, json={**body, "scopes": ["users:write"]})
    ).status_code == 201


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "guest"},
        {"client_id": "reeve_gateway"},
        {"client_id": "a b"},
        {"client_secret": "mine"},
        {"scopes": ["everything"]},
        {"scopes": ["*"]},
        {"source": "/reeve/gateway"},
        {"source": "has space"},
        {"event_types": ["reeve.*"]},
        {"event_types": ["a b"]},
        {"event_types": ["x"] * 101},
        {"id": "x"},
        {"name": ""},
    ],
)
async def test_a_registration_that_does_not_fit_is_refused(door: Door, changes: dict[str, Any]) -> None:
    body = {"name": "Shop", "scopes": [], "source": "/platform/shop", "event_types": [], **changes}
    answer = await door.call("POST", "/clients", token=await door.token_of("super_admin"), json=body)
    assert answer.status_code == 422


async def test_a_client_id_is_taken_once(door: Door) -> None:
    token = await door.token_of("super_admin")
    body = {"name": "Shop", "client_id": "shop", "source": "/platform/shop"}
    assert (await door.call("POST", "/clients", token=token, json=body)).status_code == 201
    again = await door.call("POST", "/clients", token=token, json=body)
    assert (again.status_code, again.json()["detail"]["error"]) == (409, "client_exists")


async def test_configured_clients_are_registered_once(door: Door) -> None:
    for _ in range(3):
        await register_configured(door.database, door.access.passwords, [shop()])
    assert len(await door.events("reeve.client.registered.v1")) == 1
    assert (await door.client_token("shop", "shop-secret")).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": SecretStr("another-secret")},
        {"scopes": ["events:publish", "audit:read"]},
        {"source": "/platform/other"},
        {"event_types": ["com.other.*"]},
        {"name": "Other"},
    ],
)
async def test_a_configured_client_that_changed_is_registered_anew(door: Door, changes: dict[str, Any]) -> None:
    await register_configured(door.database, door.access.passwords, [shop()])
    changed = shop(**changes)
    for _ in range(2):
        await register_configured(door.database, door.access.passwords, [changed])
    events = await door.events("reeve.client.registered.v1")
    assert len(events) == 2
    assert events[1].data["scopes"] == changed.scopes
    assert (await door.client_token("shop", changed.client_secret.get_secret_value())).status_code == 200
    if "client_secret" in changes:
        assert (await door.client_token("shop", "shop-secret")).status_code == 401
