"""Two super admins, as many as it takes to make a third, and somebody whom it is about."""

from typing import Any

import httpx

from tests.integration.gateway.access.door import Door

SECOND = "second@example.com"


class Quorum:
    """A platform with two super admins, who ask and approve, and an admin whom it is about."""

    def __init__(self, door: Door, first: str, second: str, target: dict[str, Any]) -> None:
        self.door = door
        self.first = first
        self.second = second
        self.target = target

    async def ask(self, token: str | None = None) -> Any:
        """Ask for the target's promotion; the answer's body, which is an approval."""
        answer = await promote(self.door, token or self.first, self.target["id"])
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def decide(self, approval_id: str, verb: str = "approve", token: str | None = None) -> httpx.Response:
        """Approve or reject as the second super admin, or as whoever has `token`."""
        body = {"reason": "two of us are enough"} if verb == "reject" else None
        path = f"/approvals/{approval_id}/{verb}"
        return await self.door.call("POST", path, token=token or self.second, json=body)

    async def role(self) -> str:
        """The target's role now."""
        path = f"/users/{self.target['id']}"
        return str((await self.door.call("GET", path, token=self.first)).json()["role"])

    async def state(self, approval_id: str) -> Any:
        """An approval as its asker sees it."""
        return (await self.door.call("GET", f"/approvals/{approval_id}", token=self.first)).json()


async def promote(door: Door, token: str, user_id: str) -> httpx.Response:
    return await door.call("PUT", f"/users/{user_id}/role", token=token, json={"role": "super_admin"})


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["error"]


async def open_quorum(door: Door) -> Quorum:
    """Two super admins and an admin."""
    await door.make_user(role="super_admin", email=SECOND)
    target = await door.make_user(role="admin", email="target@example.com")
    second = (await door.sign_in(SECOND))["access_token"]
    return Quorum(door, await door.token_of("super_admin"), second, target)
