"""How long entries are kept, over HTTP: the rules, the holds in force, what is archived, and the last runs."""

from fastapi import APIRouter, Request, Response

from libs.common.web.body import StrictRoute
from services.audit.models.retention import MOST_HOLDS
from services.audit.routes.asking import Reader, json_answer, searching
from services.audit.schemas import run_body
from services.audit.store import archives, holds
from services.audit.store import retention as store

MOST_RUNS = 10

router = APIRouter(prefix="/internal/audit/retention", route_class=StrictRoute)


@router.get("")
async def view_retention(request: Request, reader: Reader) -> Response:
    """All of it at once: there are few of each."""
    async with searching(request) as session:
        policy = await store.policy(session)
        in_force = await holds.in_force(session, most=MOST_HOLDS)
        archived = await archives.reached(session)
        runs = await store.runs(session, MOST_RUNS)
    body = {
        **policy.body(),
        "legal_holds": [hold.body() for hold in in_force],
        "archived_until": archived,
        "runs": [run_body(run) for run in runs],
    }
    answer = json_answer(body)
    answer.headers["etag"] = f'"{policy.version}"'
    return answer
