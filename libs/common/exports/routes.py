"""A service's exports over internal HTTP: an administrator's own jobs, their files, and the key of the manifests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import FileResponse

from libs.common.database import exports as store
from libs.common.database.engine import Database
from libs.common.errors import Conflict, Gone
from libs.common.exports.jobs import body_of, not_found
from libs.common.exports.manifest import ManifestSigner
from libs.common.exports.source import media_of
from libs.common.identity import Caller
from libs.common.web.body import StrictRoute
from libs.common.web.caller import asserted
from libs.common.web.paging import MOST_COUNT, MOST_LIMIT


def exports_router(
    database: Database, *, service: str, source: str, permission: str, folder: Path, signer: ManifestSigner
) -> APIRouter:
    """The routes of one source below `/internal/exports/<source>`. Another administrator's job is no job at all."""
    router = APIRouter(prefix=f"/internal/exports/{source}", route_class=StrictRoute)
    reader = Depends(asserted(permission, audience=service))

    @router.get("")
    async def list_exports(
        caller: Annotated[Caller, reader],
        limit: Annotated[int, Query(ge=1, le=MOST_LIMIT + 1)] = 50,
        before: UUID | None = None,
    ) -> Response:
        """The newest first, and how many there are up to one more than a list says exactly."""
        owner = caller.actor.id
        async with database.reading() as session:
            jobs = await store.search(session, source=source, owner_id=owner, before=before, limit=limit)
            total = await store.count(session, source=source, owner_id=owner, most=MOST_COUNT + 1)
        return _json({"exports": [body_of(job) for job in jobs], "total": total})

    @router.get("/keys")
    async def list_keys(caller: Annotated[Caller, reader]) -> Response:
        """The public keys that manifests are signed with, as a JWK set (RFC 7517, 5)."""
        return _json({"keys": [signer.public()]})

    @router.get("/{export_id}")
    async def view_export(caller: Annotated[Caller, reader], export_id: UUID) -> Response:
        """One job."""
        return _json(body_of(await _own(database, export_id, source, caller)))

    @router.get("/{export_id}/download")
    async def download(caller: Annotated[Caller, reader], export_id: UUID) -> Response:
        """The file, or the part of it that `Range` asks for; its `ETag` is its SHA-256."""
        job = await _own(database, export_id, source, caller)
        if job.state == "expired":
            raise Gone(f"export {export_id} has expired; its file is gone", code="export_expired")
        if job.state != "succeeded" or job.file is None or job.manifest is None:
            raise Conflict(f"export {export_id} is {job.state}: it has no file", code="export_not_ready")
        path = folder / job.file
        if not path.is_file():
            raise Gone(f"the file of export {export_id} is gone", code="export_expired")
        name, media_type = media_of(job)
        etag = f'"{orjson.loads(job.manifest)["file"]["sha256"]}"'
        return FileResponse(path, filename=name, media_type=media_type, headers={"ETag": etag})

    return router


async def _own(database: Database, export_id: UUID, source: str, caller: Caller) -> store.ExportJob:
    async with database.reading() as session:
        job = await store.find(session, export_id, source=source, owner_id=caller.actor.id)
    if job is None:
        raise not_found(str(export_id))
    return job


def _json(body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
