"""The verifiable log over HTTP, for the gateway only: proofs, checkpoint, key, tiles, and a check of what is stored."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.database.engine import Database, Session
from libs.common.errors import Conflict, NotFound
from libs.common.identity import Caller
from libs.common.web.body import StrictRoute
from libs.common.web.caller import asserted
from services.audit.log.evidence import MEDIA_TYPE, proof_text
from services.audit.log.notes import SigningKey, VerifierKey
from services.audit.log.proofs import inclusion_ranges
from services.audit.log.receipts import receipt
from services.audit.log.tiles import TILE_WIDTH, Tile, entry_bundle
from services.audit.models.witnesses import Quorum
from services.audit.store import checkpoints, cosignatures, leaves, soundness, tree
from services.audit.store.checkpoints import StoredCheckpoint

MOST_CHECKED = 4_096
"""Leaves that one call derives again; whoever checks all goes on from `next`."""
IMMUTABLE = "public, max-age=31536000, immutable"
NEWEST = "public, max-age=1"
OCTETS = "application/octet-stream"

router = APIRouter(prefix="/internal/audit", route_class=StrictRoute)
Verifier = Annotated[Caller, Depends(asserted("audit:verify", audience="audit"))]
Witnessed = Annotated[bool, Query()]
Format = Annotated[Literal["json", "tlog-proof"], Query()]


@router.get("/logs/{entry_id}/proof")
async def prove_entry(
    request: Request,
    verifier: Verifier,
    entry_id: UUID,
    format: Format = "json",  # noqa: A002 - its public name
    witnessed: Witnessed = False,
) -> Response:
    """What proves that one entry is in the log of the newest checkpoint, or of the newest that the quorum cosigned."""
    async with _database(request).reading() as session:
        leaf = await leaves.find(session, entry_id)
        if leaf is None:
            raise NotFound(f"no audit entry {entry_id}", code="audit_log_not_found")
        checkpoint = await _newest(request, session, witnessed=witnessed)
        if checkpoint is None or checkpoint.size <= leaf.sequence:
            which, when = ("witnessed", "minute") if witnessed else ("signed", "second")
            raise Conflict(
                f"entry {entry_id} has sequence {leaf.sequence} and no {which} checkpoint reaches it yet; ask again in a {when}",
                code="proof_not_ready",
            )
        proof = await tree.proof(session, inclusion_ranges(leaf.sequence, checkpoint.size))
        note = await cosignatures.cosigned(session, checkpoint)
        size = checkpoint.size if witnessed else await cosignatures.witnessed_size(session, _quorum(request))
    if format == "tlog-proof":
        text = proof_text(index=leaf.sequence, proof=proof, checkpoint=note)
        return Response(text, media_type=MEDIA_TYPE)
    body = {
        "sequence": leaf.sequence,
        "entry": _base64(leaf.body),
        "leaf_hash": _base64(leaf.hash),
        "tree_size": checkpoint.size,
        "hashes": [_base64(one) for one in proof],
        "checkpoint": note,
        "witnessed_size": size,
    }
    return Response(orjson.dumps(body), media_type="application/json")


@router.get("/logs/{entry_id}/receipt")
async def give_receipt(request: Request, verifier: Verifier, entry_id: UUID) -> Response:
    """The signed promise of an entry's leaf hash at its place, as soon as the entry is stored."""
    async with _database(request).reading() as session:
        leaf = await leaves.find(session, entry_id)
    if leaf is None:
        raise NotFound(f"no audit entry {entry_id}", code="audit_log_not_found")
    key: SigningKey = request.app.state.receipt_key
    note = receipt(
        key,
        event_id=orjson.loads(leaf.body)["event_id"],
        index=leaf.sequence,
        leaf_hash=leaf.hash,
        time=datetime.now(UTC),
    )
    return Response(note, media_type=MEDIA_TYPE)


@router.get("/log/receipt-key")
async def view_receipt_key(request: Request, verifier: Verifier) -> Response:
    """The verifier key of receipts, as signed notes write it."""
    key: SigningKey = request.app.state.receipt_key
    return Response(f"{key.verifier.text}\n", media_type=MEDIA_TYPE)


@router.get("/log/key")
async def view_key(request: Request, verifier: Verifier) -> Response:
    """The log's verifier key, as signed notes write it."""
    key: VerifierKey = request.app.state.log_key
    return Response(f"{key.text}\n", media_type=MEDIA_TYPE)


@router.get("/log/checkpoint")
async def view_checkpoint(request: Request, verifier: Verifier, witnessed: Witnessed = False) -> Response:
    """The newest signed checkpoint, or the newest that the quorum cosigned, with the cosignatures of it that are kept."""
    async with _database(request).reading() as session:
        found = await _newest(request, session, witnessed=witnessed)
        if found is None:
            which = "witnessed" if witnessed else "signed"
            raise NotFound(f"the log has no {which} checkpoint yet", code="checkpoint_not_found")
        note = await cosignatures.cosigned(session, found)
    return Response(note, media_type=MEDIA_TYPE, headers={"cache-control": NEWEST})


@router.get("/log/tile/{path:path}")
async def view_tile(request: Request, verifier: Verifier, path: str) -> Response:
    """A tile of hashes, or of leaves; one that is not full yet by its width."""
    tile = Tile.parse(path)
    if tile is None:
        raise NotFound(f"no tile is called {path[:100]!r}", code="tile_not_found")
    async with _database(request).reading() as session:
        content = await _content(session, tile)
    if content is None:
        raise NotFound(f"the log does not reach tile {tile.path} yet", code="tile_not_found")
    return Response(content, media_type=OCTETS, headers={"cache-control": IMMUTABLE})


@router.get("/log/verification")
async def verify_log(
    request: Request,
    verifier: Verifier,
    first: Annotated[int, Query(ge=0, lt=2**62)] = 0,
    count: Annotated[int, Query(ge=1, le=MOST_CHECKED)] = MOST_CHECKED,
) -> Response:
    """Derive a part of the log again from its stored bytes; with the last part, the head and its checkpoint too."""
    async with _database(request).reading() as session:
        state = await tree.state(session)
        end = _end(first, count, state.size)
        found = await soundness.check_leaves(session, first=first, end=end)
        if found is None and end == state.size:
            found = await soundness.check_head(session, request.app.state.log_key)
        size = await cosignatures.witnessed_size(session, _quorum(request))
    body = {
        "first": first,
        "checked": end - first,
        "next": end if end < state.size and found is None else None,
        "tree_size": state.size,
        "root": _base64(state.root),
        "signed_size": state.signed,
        "witnessed_size": size,
        "holds": found is None,
        "first_bad": None if found is None else {"sequence": found.sequence, "problem": found.problem},
    }
    return Response(orjson.dumps(body), media_type="application/json")


def _end(first: int, count: int, size: int) -> int:
    """Where a part ends: with a whole tile where it can, so that parts which follow each other leave none unchecked."""
    end = min(first + count, size)
    whole = end - end % TILE_WIDTH
    return max(first, whole if first < whole and end < size else end)


async def _content(session: Session, tile: Tile) -> bytes | None:
    """The bytes of a tile, as far as the tree reaches: what is not in the tree yet is not told."""
    state = await tree.state(session)
    if (tile.first + tile.width) << 8 * (tile.level or 0) > state.size:
        return None
    if tile.level is None:
        return entry_bundle(await tree.bodies(session, tile))
    return b"".join(await tree.hashes(session, tile))


async def _newest(request: Request, session: Session, *, witnessed: bool) -> StoredCheckpoint | None:
    """The newest checkpoint that is asked for. Raises 409 where there are no witnesses who could cosign one."""
    if not witnessed:
        return await checkpoints.newest(session)
    quorum = _quorum(request)
    if quorum is None:
        raise Conflict("the log has no witnesses (REEVE_AUDIT_WITNESSES)", code="no_witnesses")
    return await cosignatures.witnessed(session, quorum)


def _quorum(request: Request) -> Quorum | None:
    quorum: Quorum | None = request.app.state.quorum
    return quorum


def _database(request: Request) -> Database:
    database: Database = request.app.state.search_database
    return database


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
