"""The whole way of a link: from a request of an administrator's to a mailbox, and back to a sign-in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.common.ids import new_id
from tests.contract.conftest import SERVICES
from tests.contract.security.canaries import Canaries, all_rows, keep_outboxes, stop_keeping
from tests.support.eventually import eventually
from tests.support.house import ADMIN, House, open_house
from tests.support.mail_server import HOST, MailServer, mail_server
from tests.support.postgres import PlatformDatabases

CHOSEN = "a password of my own choosing"
PUBLIC_URL = "https://reeve.example.com"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path) as running:
        yield running


@pytest.fixture
async def mailing(platform_databases: PlatformDatabases, tmp_path: Path, server: MailServer) -> AsyncIterator[House]:
    """A platform that sends mails."""
    database = await platform_databases.make(*SERVICES)
    smtp = {"REEVE_SMTP_URL": f"smtp+plain://{HOST}:{server.port}", "REEVE_MAIL_FROM": "reeve@example.com"}
    opened = await asyncio.to_thread(open_house, database, tmp_path / "data", REEVE_PUBLIC_URL=PUBLIC_URL, **smtp)
    yield opened
    await asyncio.to_thread(opened.stop)
    await platform_databases.give_back(database)


async def post(house: House, path: str, body: dict[str, Any], *, role: str | None = None) -> httpx.Response:
    def send() -> httpx.Response:
        with house.client(role) as http:
            return http.post(f"{ADMIN}{path}", json=body)

    return await asyncio.to_thread(send)


async def actions(house: House, user_id: str) -> set[str]:
    """What the audit log tells of an account."""

    def ask() -> set[str]:
        with house.client() as http:
            found = http.get(f"{ADMIN}/audit/targets/user/{user_id}").raise_for_status().json()
        return {one["action"] for one in found["history"]}

    return await asyncio.to_thread(ask)


async def test_made_mailed_activated_forgotten_reset_and_told(
    mailing: House, server: MailServer, capfd: pytest.CaptureFixture[str]
) -> None:
    await keep_outboxes(mailing.database.admin_url, SERVICES)
    new = {"email": "ada@example.com", "name": "Ada", "role": "viewer"}
    made = await post(mailing, "/users", new, role="super_admin")
    assert (made.status_code, made.json()["awaits_activation"]) == (201, True)
    await eventually(lambda: server.taken)
    mail = server.taken[0]
    assert (mail.recipients, mail.message["subject"]) == (["ada@example.com"], "Activate your account")
    (link,) = [line for line in mail.part("plain").splitlines() if line.startswith(PUBLIC_URL)]
    token = link.partition("/activate#token=")[2]
    assert (await post(mailing, "/auth/activate", {"token": token, "password": CHOSEN})).status_code == 204
    signed_in = await post(mailing, "/auth/login", {"email": "ada@example.com", "password": CHOSEN})
    assert signed_in.status_code == 200

    assert (await post(mailing, "/auth/password/forgot", {"email": "ADA@example.com"})).status_code == 202
    assert (await post(mailing, "/auth/password/forgot", {"email": "nobody@example.com"})).status_code == 202
    await eventually(lambda: len(server.taken) == 2)
    reset = server.taken[1].part("plain").partition("/reset-password#token=")[2].split()[0]
    other = "the second one of my choosing"
    for status in (204, 410):
        answer = await post(mailing, "/auth/password/reset", {"token": reset, "password": other})
        assert answer.status_code == status
    refused = await post(mailing, "/auth/refresh", {"refresh_token": signed_in.json()["refresh_token"]})
    assert refused.status_code == 401

    user_id = made.json()["id"]
    told = {"create_user", "issue_link", "accept_delivery", "send_link", "activate_user", "reset_password"}

    async def is_told() -> bool:
        return told <= await actions(mailing, user_id)

    await eventually(is_told)
    assert len(server.taken) == 2, "whoever has no account is sent nothing"
    canaries = Canaries()
    for name, text in (("activation", token), ("reset", reset), ("first password", CHOSEN), ("second password", other)):
        canaries.add(name, text)
    printed = capfd.readouterr()
    places = [*await all_rows(mailing.database.admin_url), ("output", (printed.out + printed.err).encode())]
    await stop_keeping(mailing.database.admin_url)
    assert {"notifications.deliveries", "gateway.links", "canary.kept"} <= {place for place, _ in places}
    assert canaries.found_in(places) == set()


async def test_without_a_mail_server_the_link_is_one_line_on_standard_output(
    house: House, capfd: pytest.CaptureFixture[str]
) -> None:
    email = f"{new_id()}@example.com"
    made = await post(house, "/users", {"email": email, "name": "Ada", "role": "viewer"}, role="super_admin")
    assert made.status_code == 201
    printed = {"out": "", "err": ""}

    def lines() -> list[str]:
        now = capfd.readouterr()
        printed["out"] += now.out
        printed["err"] += now.err
        return [line for line in printed["out"].splitlines() if email in line]

    await eventually(lines)
    (line,) = lines()
    assert line.startswith(f"activation link for {email} (once, until ")
    token = line.partition(f"{house.url}/activate#token=")[2]
    assert token
    assert token not in printed["err"]
    assert (await post(house, "/auth/activate", {"token": token, "password": CHOSEN})).status_code == 204
