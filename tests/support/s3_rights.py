"""A second S3 server (moto) as a process: users with rights, object lock and preconditions; botocore checks signatures."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import boto3

from tests.support.eventually import eventually
from tests.support.processes import free_port

LOCKED, CLOSED = "locked", "closed"
"""A bucket with object lock, and one that the user has no right in."""
SETUP_CALLS = 8
"""Calls that need no signature yet: all of `_set_up`."""


class S3Rights:
    """One server on a port of its own, with a user who may write and read in one bucket, and nothing else."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.key_id = ""
        self.secret = ""
        self._owner: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; returns when rights are asked for."""
        port = self.url.rpartition(":")[2]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port,
            env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(SETUP_CALLS)},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        await eventually(self._listens, within_seconds=30)
        await asyncio.to_thread(self._set_up)

    async def stop(self) -> None:
        """Kill it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def target(self, **given: Any) -> dict[str, Any]:
        """The bucket with object lock as a sink's target; nothing waits for a batch to become full."""
        return {
            "kind": "s3", "endpoint": self.url, "bucket": LOCKED, "access_key_id": self.key_id, "batch_seconds": 0, **given,
        }  # fmt: skip

    async def versions(self) -> list[dict[str, Any]]:
        """Every version of every object with its headers, by name and age."""
        return await asyncio.to_thread(self._versions)

    async def _listens(self) -> bool:
        port = int(self.url.rpartition(":")[2])
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    def _set_up(self) -> None:
        iam, s3 = self._client("iam"), self._client("s3")
        for name, actions, resource in (
            ("reeve", ["s3:PutObject", "s3:GetObject"], f"arn:aws:s3:::{LOCKED}/*"),
            ("owner", ["s3:*"], "*"),
        ):
            iam.create_user(UserName=name)
            statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=document)
        keys = {name: iam.create_access_key(UserName=name)["AccessKey"] for name in ("reeve", "owner")}
        self.key_id, self.secret = keys["reeve"]["AccessKeyId"], keys["reeve"]["SecretAccessKey"]
        self._owner = {
            "aws_access_key_id": keys["owner"]["AccessKeyId"], "aws_secret_access_key": keys["owner"]["SecretAccessKey"],
        }  # fmt: skip
        s3.create_bucket(Bucket=LOCKED, ObjectLockEnabledForBucket=True)
        s3.create_bucket(Bucket=CLOSED)

    def _versions(self) -> list[dict[str, Any]]:
        s3 = self._client("s3")
        listed = s3.list_object_versions(Bucket=LOCKED).get("Versions", [])
        return [
            {"key": one["Key"], **s3.head_object(Bucket=LOCKED, Key=one["Key"], VersionId=one["VersionId"])}
            for one in listed
        ]

    def _client(self, service: str) -> Any:
        keys = self._owner or {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1", **keys)


@asynccontextmanager
async def running_s3_rights() -> AsyncIterator[S3Rights]:
    """A server that runs as long as the block does."""
    server = S3Rights()
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
