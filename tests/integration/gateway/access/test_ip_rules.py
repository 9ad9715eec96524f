"""Rules about addresses hold for whoever calls, at once, and never shut out whoever sets them."""

from collections.abc import Sequence

import httpx
import pytest

from libs.common.events.sign_in import IpRulesChanged
from services.gateway.features.security.commands import lift_ip_rules
from tests.integration.gateway.access.door import PASSWORD, SUPER_ADMIN, Door, Unreachable, new_door_access

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"


async def test_who_is_denied_gets_no_answer_but_a_refusal(door: Door) -> None:
    token = await door.token_of("super_admin")
    assert (await put(door, deny=["198.51.100.0/24"])).status_code == 200
    answers = [
        await ask(door, "GET", "/auth/me", token=token, address=ELSEWHERE),
        await ask(door, "GET", "/samples", address=ELSEWHERE),
        await ask(door, "POST", "/auth/login", json={"email": SUPER_ADMIN, "password": PASSWORD}, address=ELSEWHERE),
    ]
    assert {(one.status_code, one.json()["detail"]["error"]) for one in answers} == {(403, "address_not_allowed")}
    assert (await ask(door, "GET", "/auth/me", token=token, address=HERE)).status_code == 200


async def test_administrators_are_let_in_from_the_allow_list_alone_and_clients_from_anywhere(door: Door) -> None:
    token = await door.token_of("super_admin")
    client_id, secret = await door.make_client(scopes=["events:publish"])
    assert (await put(door, allow=["203.0.113.0/24"])).status_code == 200
    refused = await ask(door, "GET", "/auth/me", token=token, address=ELSEWHERE)
    assert (refused.status_code, refused.json()["detail"]["error"]) == (403, "address_not_allowed")
    login = {"email": SUPER_ADMIN, "password": PASSWORD}
    assert (await ask(door, "POST", "/auth/login", json=login, address=ELSEWHERE)).status_code == 403
    client = (await door.client_token(client_id, secret)).json()["access_token"]
    assert (await ask(door, "POST", "/samples", token=client, address=ELSEWHERE)).status_code == 200


async def test_rules_that_shut_out_their_maker_are_refused(door: Door) -> None:
    for refused in (await put(door, allow=["198.51.100.0/24"]), await put(door, deny=["0.0.0.0/0"])):
        assert (refused.status_code, refused.json()["detail"]["error"]) == (409, "self_lockout")
    token = await door.token_of("super_admin")
    assert (await door.call("GET", "/security/ip-rules", token=token)).json() == {"allow": [], "deny": [], "version": 1}


async def test_rules_have_versions(door: Door) -> None:
    first = await put(door, deny=["192.0.2.0/24"], version=1)
    assert (first.status_code, first.headers["etag"], first.json()["version"]) == (200, '"2"', 2)
    stale = await put(door, deny=[], version=1)
    assert (stale.status_code, stale.json()["detail"]["error"]) == (412, "version_conflict")
    same = await put(door, deny=["192.0.2.0/24"])
    assert same.json()["version"] == 2
    (event,) = await door.events(IpRulesChanged.TYPE)
    assert event.data["changes"] == {"deny": {"old": [], "new": ["192.0.2.0/24"]}}
    assert event.severity == "warning"


@pytest.mark.parametrize("network", ["192.0.2.1/24", "everybody", "0.0.0.0/99"])
async def test_what_is_no_network_is_named(door: Door, network: str) -> None:
    refused = await put(door, deny=[network])
    assert refused.status_code == 422
    assert refused.json()["detail"]["errors"][0]["loc"] == ["body", "deny"]


async def test_another_instance_learns_of_it_by_the_event(door: Door) -> None:
    elsewhere = new_door_access(door.database)
    assert (await elsewhere.ip_rules()).admits(ELSEWHERE, admin=True)
    await put(door, deny=["198.51.100.0/24"])
    (event,) = await door.events(IpRulesChanged.TYPE)
    elsewhere.apply_event(event)
    assert not (await elsewhere.ip_rules()).admits(ELSEWHERE, admin=True)


async def test_rules_that_cannot_be_read_let_nobody_in(door: Door) -> None:
    token = await door.token_of("super_admin")
    door.access.forget_ip_rules()
    door.access.database = Unreachable(OSError("canary"))
    for answer in (
        await ask(door, "GET", "/auth/me", token=token, address=HERE),
        await ask(door, "GET", "/samples", address=HERE),
    ):
        assert (answer.status_code, answer.json()["detail"]["error"]) == (500, "permission_check_failed")


async def test_from_the_machine_every_rule_can_be_lifted(door: Door) -> None:
    await put(door, allow=["203.0.113.0/24"], deny=["198.51.100.0/24"])
    async with door.database.transaction() as session:
        await lift_ip_rules(session)
    door.access.forget_ip_rules()
    assert (await ask(door, "GET", "/samples", address=ELSEWHERE)).status_code == 200
    event = (await door.events(IpRulesChanged.TYPE))[-1]
    assert (event.severity, event.actorid, event.data["version"]) == ("critical", "console", 3)


async def put(
    door: Door, *, allow: Sequence[str] = (), deny: Sequence[str] = (), version: int | None = None
) -> httpx.Response:
    """Set the rules as the first super admin."""
    headers = {"If-Match": f'"{version}"'} if version is not None else {}
    body = {"allow": list(allow), "deny": list(deny)}
    token = await door.token_of("super_admin")
    return await door.call("PUT", "/security/ip-rules", token=token, json=body, headers=headers)


async def ask(
    door: Door, method: str, path: str, *, address: str, token: str | None = None, json: object = None
) -> httpx.Response:
    """One request from an address."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    transport = httpx.ASGITransport(app=door.watch, client=(address, 4321))
    async with httpx.AsyncClient(transport=transport, base_url="http://reeve.test/api/v1/admin") as client:
        return await client.request(method, path, json=json, headers=headers)
