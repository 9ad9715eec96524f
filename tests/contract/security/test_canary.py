"""Secrets go in by every route and through every failure, and come out nowhere."""

import asyncio
import base64
import contextlib
import io
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from libs.common import logs
from libs.common.ids import new_id
from tests.contract.security.canaries import Canaries, all_rows, forms_of, keep_outboxes, stop_keeping
from tests.support.eventually import eventually
from tests.support.house import ADMIN, EMAIL, PASSWORD, SHOP, House

SCHEMAS = ("gateway", "audit", "settings", "notifications")


@pytest.fixture
def canaries(house: House) -> Canaries:
    """The secrets that were there before the test: passwords of roles and people, keys, the shop's secret."""
    found = Canaries()
    for role, url in house.database.urls.items():
        found.add(f"database password of {role}", str(urlsplit(url).password))
    for file in house.keys.iterdir():
        if not file.name.endswith(".pub"):
            lines = [line for line in file.read_text().splitlines() if not line.startswith("-----")]
            found.add(f"key file {file.name}", lines[0])
    found.add("password of the first admin", PASSWORD)
    found.add("secret of the shop", SHOP["client_secret"])
    found.add("access token", house.token("super_admin"))
    return found


@pytest.fixture
async def kept(house: House) -> AsyncIterator[None]:
    """Outboxes and dead letters are copied while the test runs."""
    await keep_outboxes(house.database.admin_url, SCHEMAS)
    yield
    await stop_keeping(house.database.admin_url)


@contextlib.contextmanager
def captured_logs() -> Iterator[io.StringIO]:
    """Every line that the platform writes meanwhile, debug ones included."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    with contextlib.redirect_stderr(io.StringIO()) as written:
        logs.configure("reeve", "debug")
        for name in ("httpx", "httpcore"):  # this test's own client, which is not the platform
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield written
        finally:
            logs.configure("reeve", "info")
            root.handlers[:] = before
            root.setLevel(level)


class Listener(threading.Thread):
    """Hears every topic of the stream."""

    def __init__(self, house: House) -> None:
        super().__init__(daemon=True)
        self._house = house
        self.heard = bytearray()

    def run(self) -> None:
        with (
            contextlib.suppress(httpx.HTTPError),
            self._house.client() as http,
            http.stream("GET", f"{ADMIN}/stream", timeout=60) as stream,
        ):
            for part in stream.iter_bytes():
                self.heard += part


def drive_settings(http: httpx.Client, canaries: Canaries) -> None:
    key = "canary.mail_password"
    first, second = canaries.make("setting: first secret"), canaries.make("setting: second secret")
    whole = {"key": key, "value_type": "secret", "value": first, "default_value": None}
    assert http.post(f"{ADMIN}/settings", json=whole, headers={"idempotency-key": new_id()}).status_code == 201
    assert (
        http.post(f"{ADMIN}/settings", json={**whole, "value": canaries.make("setting: taken key")}).status_code == 409
    )
    assert http.put(f"{ADMIN}/settings/{key}", json={"value": second}).status_code == 200
    later = http.put(
        f"{ADMIN}/settings/{key}", json={"value": canaries.make("later")}, headers={"prefer": "respond-async"}
    )
    assert later.status_code == 202
    stale = {"if-match": '"99"'}
    changed = http.put(f"{ADMIN}/settings/{key}", json={"value": canaries.make("stale")}, headers=stale)
    assert changed.status_code == 412
    assert http.put(f"{ADMIN}/settings/{key}", json={"value": [canaries.make("no text")]}).status_code == 422
    assert http.put(f"{ADMIN}/settings/store_trial_days", json={"value": canaries.make("misfit")}).status_code == 422
    assert http.put(f"{ADMIN}/settings/no_such_key", json={"value": canaries.make("no setting")}).status_code == 404
    assert http.patch(f"{ADMIN}/settings/{key}", json={"default_value": canaries.make("default")}).status_code < 500
    assert http.patch(f"{ADMIN}/settings/{key}", json={"description": "Where mail goes"}).status_code == 200
    assert http.patch(f"{ADMIN}/settings/{key}", json={"value_type": "string"}).status_code < 500
    assert http.post(f"{ADMIN}/settings/{key}/rollback", json={"version": 1}).status_code == 200
    unknown = {"value": canaries.make("beside an unknown member"), "tenant": canaries.make("unknown member")}
    assert http.put(f"{ADMIN}/settings/{key}", json=unknown).status_code == 422
    for path in ("", f"/{key}", f"/{key}/history"):
        assert http.get(f"{ADMIN}/settings{path}").status_code == 200
    assert http.delete(f"{ADMIN}/settings/{key}?confirm=true").status_code == 204


def drive_people(house: House, http: httpx.Client, canaries: Canaries) -> None:
    password = canaries.make("user: password")
    email = f"{new_id()}@example.com"
    new = {"email": email, "name": "Canary", "role": "viewer", "password": password}
    assert http.post(f"{ADMIN}/users", json=new, headers={"idempotency-key": new_id()}).status_code == 201
    assert http.post(f"{ADMIN}/users", json={**new, "password": canaries.make("taken e-mail")}).status_code == 409
    wrong = {**new, "role": "no_role", "password": canaries.make("wrong role")}
    assert http.post(f"{ADMIN}/users", json=wrong).status_code == 422
    assert http.post(f"{ADMIN}/users", json={**new, "password": {"a": canaries.make("no text")}}).status_code == 422
    with house.client(None) as nobody:
        login = f"{ADMIN}/auth/login"
        tried = {"email": email, "password": canaries.make("wrong password")}
        assert nobody.post(login, json=tried).status_code == 401
        tried = {"email": canaries.make("password typed as e-mail"), "password": "whatever it was"}
        assert nobody.post(login, json=tried).status_code == 401
        broken = json.dumps({"email": email, "password": canaries.make("broken JSON")})[:-1]
        assert nobody.post(login, content=broken, headers={"content-type": "application/json"}).status_code == 400
        assert nobody.post(login, content=broken, headers={"content-type": "text/plain"}).status_code == 415
        long = {"email": email, "password": canaries.make("long password") + "a" * 300}
        assert nobody.post(login, json=long).status_code == 422
        tokens = nobody.post(login, json={"email": email, "password": password}).json()
        canaries.add("access token of the new one", tokens["access_token"])
        refresh = {"refresh_token": canaries.add("refresh token", tokens["refresh_token"])}
        again = nobody.post(f"{ADMIN}/auth/refresh", json=refresh).json()
        canaries.add("second access token", again["access_token"])
        canaries.add("second refresh token", again["refresh_token"])
        assert nobody.post(f"{ADMIN}/auth/refresh", json=refresh).status_code == 401
        forged = {"authorization": f"Bearer {canaries.make('forged token').encode('ascii', 'replace').decode()}"}
        assert nobody.get(f"{ADMIN}/settings", headers=forged).status_code == 401
        ended = {"authorization": f"Bearer {again['access_token']}"}
        assert nobody.get(f"{ADMIN}/auth/me", headers=ended).status_code == 401
        assert nobody.get(f"{ADMIN}/settings", params={"access_token": again["access_token"]}).status_code == 401
    assert http.get(f"{ADMIN}/settings", params={"token": canaries.make("token in a query")}).status_code == 422


def drive_clients(house: House, http: httpx.Client, canaries: Canaries) -> None:
    new = {
        "name": "Canary",
        "source": f"/platform/{new_id()}",
        "scopes": ["events:publish"],
        "event_types": ["com.c.*"],
    }
    key = {"idempotency-key": new_id()}
    made = http.post(f"{ADMIN}/clients", json=new, headers=key)
    again = http.post(f"{ADMIN}/clients", json=new, headers=key)
    assert (made.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == made.content
    client_id, secret = made.json()["client_id"], canaries.add("client secret", made.json()["client_secret"])
    form = {"grant_type": "client_credentials", "client_id": client_id}
    with house.client(None) as nobody:
        token = nobody.post("/api/v1/oauth/token", data=form | {"client_secret": secret})
        canaries.add("client token", token.raise_for_status().json()["access_token"])
        basic = nobody.post("/api/v1/oauth/token", data={"grant_type": "client_credentials"}, auth=(client_id, secret))
        canaries.add("second client token", basic.raise_for_status().json()["access_token"])
        wrong = nobody.post("/api/v1/oauth/token", data=form | {"client_secret": canaries.make("wrong secret")})
        assert wrong.status_code == 401
        swapped = form | {"client_id": canaries.make("secret as id"), "client_secret": "x"}
        assert nobody.post("/api/v1/oauth/token", data=swapped).status_code == 401
    assert http.delete(f"{ADMIN}/clients/{made.json()['id']}").status_code == 204


def answers(house: House) -> list[tuple[str, bytes]]:
    """What administrators and machines can read of all this."""
    paths = (
        "audit/logs?limit=200", "audit/stats", "audit/actions", "system/health", "settings", "users", "clients",
        "notifications?limit=200", "notifications/alerts",
    )  # fmt: skip
    with house.client() as http:
        found = [(path, http.get(f"{ADMIN}/{path}").raise_for_status().content) for path in paths]
        cursor = http.get(f"{ADMIN}/audit/logs?limit=200").json()["next_cursor"]
        while cursor:
            page = http.get(f"{ADMIN}/audit/logs", params={"limit": 200, "cursor": cursor})
            found.append(("audit/logs", page.content))
            cursor = page.json()["next_cursor"]
        found.append(("/metrics", httpx.get(house.metrics_url).content))
    return found


async def test_no_secret_is_found_anywhere(house: House, canaries: Canaries, kept: None) -> None:
    listener = Listener(house)
    with captured_logs() as written:
        listener.start()
        await eventually(lambda: listener.heard)
        await asyncio.to_thread(drive, house, canaries)
        last = new_id()
        with house.client() as http:
            http.get(f"{ADMIN}/roles", headers={"x-request-id": last}).raise_for_status()
            await eventually(lambda: http.get(f"{ADMIN}/audit/logs", params={"request_id": last}).json()["total"])
        places = await asyncio.to_thread(answers, house)
    await eventually(lambda: last.encode() in listener.heard or b"list_roles" in listener.heard)
    places += [("log", written.getvalue().encode()), ("stream", bytes(listener.heard))]
    places += await all_rows(house.database.admin_url)
    names = {place for place, _ in places}
    assert {"gateway.idempotency_keys", "canary.kept", "audit.entries", "settings.setting_history"} <= {
        "audit.entries" if name.startswith("audit.entries") else name for name in names
    }
    assert len(written.getvalue()) > 1000
    assert canaries.found_in(places) == set()


def drive(house: House, canaries: Canaries) -> None:
    with house.client() as http:
        drive_settings(http, canaries)
        drive_people(house, http, canaries)
        drive_clients(house, http, canaries)


@pytest.mark.parametrize("around", [b"%b", b"a%b", b"ab%bcd"])
def test_the_search_finds_a_secret_in_every_form(around: bytes) -> None:
    canaries = Canaries()
    text = canaries.make("planted")
    for form in forms_of(text):
        assert canaries.found_in([("here", around % form)]) == {("here", "planted")}
    encoded = base64.b64encode(around % text.encode())
    assert canaries.found_in([("here", encoded)]) == {("here", "planted")}


def test_the_first_admin_signs_in_with_what_is_searched_for(house: House) -> None:
    with house.client(None) as http:
        assert http.post(f"{ADMIN}/auth/login", json={"email": EMAIL, "password": PASSWORD}).status_code == 200
