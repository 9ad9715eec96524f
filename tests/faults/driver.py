"""Drives a platform while it is being broken, and writes everything into a ledger."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import httpx

from libs.common.ids import new_id
from tests.demo.administrator import ADMIN, Administrator
from tests.faults.observer import PLACES, Observer, observing
from tests.support.eventually import eventually
from tests.support.ledger import Ledger, Reply, Verdict, check
from tests.support.platforms import CLIENT
from tests.support.processes import Platform

WORKERS = 4
PAUSE_SECONDS = 0.01
DRAIN_SECONDS = 60.0
EVENTS_AT_ONCE = 3


class Driver:
    """Several workers that change settings, read them, notify and send events, each one thing after the other."""

    def __init__(self, platform: Platform, http: httpx.AsyncClient, ledger: Ledger) -> None:
        self.platform = platform
        self.ledger = ledger
        self._http = http
        self.run = new_id()[-8:]
        self._numbers = count(1)
        self._admin: dict[str, str] = {}
        self._client: dict[str, str] = {}
        self._replies = 0
        self._is_over = False

    async def prepare(self) -> None:
        """Sign in, and make each worker's setting, before anything breaks."""
        admin = await Administrator.sign_in(self._http, email=self.platform.email, password=self.platform.password)
        self._admin = admin.headers
        for worker in range(WORKERS):
            body = {"key": self._key(worker), "value": "", "value_type": "string", "category": "ledger"}
            (await admin.call("POST", "/settings", json=body)).raise_for_status()
        token = await self._http.post(
            "/api/v1/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(str(CLIENT["client_id"]), str(CLIENT["client_secret"])),
        )
        token.raise_for_status()
        self._client = {
            "authorization": f"Bearer {token.json()['access_token']}",
            "content-type": "application/cloudevents-batch+json",
        }

    async def work(self, worker: int) -> None:
        """One worker's life; it ends by `finish`, with its last operation answered."""
        turns: list[Callable[[int], Awaitable[None]]] = [
            self._change,
            self._read,
            self._send,
            self._change,
            self._notify,
        ]
        for turn in count(worker):
            await turns[turn % len(turns)](worker)
            if self._is_over:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    def finish(self) -> None:
        """Let the workers end."""
        self._is_over = True

    async def progress(self, replies: int = 20, *, within_seconds: float = 60) -> None:
        """Return when this many more operations have been acknowledged."""
        target = self._replies + replies
        await eventually(lambda: self._replies >= target, within_seconds=within_seconds)

    def _key(self, worker: int) -> str:
        return f"ledger.{self.run}.w{worker}"

    async def _change(self, worker: int) -> None:
        mark = f"{self.run}-{next(self._numbers)}"
        op = self.ledger.intend("setting", mark, group=self._key(worker))
        await self._call(
            [op], "PUT", f"{ADMIN}/settings/{self._key(worker)}", json={"value": mark}, headers=self._admin
        )

    async def _read(self, worker: int) -> None:
        mark = f"ledger-{self.run}-{next(self._numbers)}"
        op = self.ledger.intend("read", mark)
        headers = {**self._admin, "x-request-id": mark}
        await self._call([op], "GET", f"{ADMIN}/settings/{self._key(worker)}", headers=headers)

    async def _notify(self, worker: int) -> None:
        title = f"ledger {self.run} {next(self._numbers)}"
        op = self.ledger.intend("notification", title, group=f"notifications of {worker}")
        body = {"type": "announcement", "title": title, "message": "It happened."}
        await self._call([op], "POST", f"{ADMIN}/notifications", json=body, headers=self._admin)

    async def _send(self, worker: int) -> None:
        ids = [f"{self.run}-{next(self._numbers)}" for _ in range(EVENTS_AT_ONCE)]
        ops = [self.ledger.intend("event", one) for one in ids]
        events = [
            {
                "specversion": "1.0", "id": one, "source": CLIENT["source"], "type": "platform.import.failed.v1",
                "subject": f"import/{worker}", "data": {"store_id": worker, "error_message": "the file ends early"},
            }
            for one in ids
        ]  # fmt: skip
        await self._call(ops, "POST", "/api/v1/events", json=events, headers=self._client)

    async def _call(
        self, ops: list[int], method: str, path: str, *, headers: dict[str, str], json: object = None
    ) -> None:
        try:
            answer = await self._http.request(method, path, headers=headers, json=json)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            reply, note = Reply.REFUSED, type(error).__name__
            await asyncio.sleep(0.05)
        except httpx.TransportError as error:
            reply, note = Reply.UNKNOWN, type(error).__name__
        else:
            reply, note = _reply(answer), str(answer.status_code)
        for op in ops:
            self.ledger.reply(op, reply, note)
        self._replies += reply is Reply.OK


def _reply(answer: httpx.Response) -> Reply:
    """200, 201 and 202 are promises; whom nobody could check was let in nowhere; other faults leave it open."""
    if answer.is_success:
        return Reply.OK
    if answer.status_code == 500 and answer.json()["detail"]["error"] == "permission_check_failed":
        return Reply.REFUSED
    assert answer.status_code in (502, 503, 504), f"{answer.status_code}: {answer.text[:300]}"
    return Reply.UNKNOWN


@asynccontextmanager
async def driving(platform: Platform, ledger_path: Path) -> AsyncIterator[Driver]:
    """A driver at work for as long as the block lasts; what it has begun is finished."""
    ledger = Ledger(ledger_path)
    try:
        async with httpx.AsyncClient(base_url=platform.url, timeout=10) as http:
            driver = Driver(platform, http, ledger)
            await driver.prepare()
            async with asyncio.TaskGroup() as workers:
                for worker in range(WORKERS):
                    workers.create_task(driver.work(worker))
                try:
                    yield driver
                finally:
                    driver.finish()
    finally:
        ledger.close()


async def verdict_on(driver: Driver) -> Verdict:
    """Wait until nothing is under way any more, and compare. Everything must be running again."""
    async with observing(driver.platform.admin_database) as observer:
        await until_settled(observer)
        return check(driver.ledger.path, await observer.found(driver.run), places=PLACES)


async def until_settled(observer: Observer) -> None:
    """Return when every outbox is empty, every inbox is up to date and every operation has ended."""

    async def settled() -> bool:
        unfinished = await observer.unfinished()
        assert not unfinished, unfinished
        return True

    await eventually(settled, within_seconds=DRAIN_SECONDS, every_seconds=0.1)
