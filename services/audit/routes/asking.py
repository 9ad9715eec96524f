"""What the routes share: a session for searches, which may take only so long, and JSON out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import orjson
from fastapi import Depends, Request, Response

from libs.common.database.engine import Session
from libs.common.errors import Unavailable
from libs.common.identity import Caller
from libs.common.web.caller import asserted

Reader = Annotated[Caller, Depends(asserted("audit:read", audience="audit"))]


@asynccontextmanager
async def searching(request: Request) -> AsyncIterator[Session]:
    """A reading session of the pool for searches; a statement that takes too long is 503 `search_too_costly`."""
    async with request.app.state.search_database.reading() as session:
        try:
            yield session
        except (TimeoutError, asyncpg.QueryCanceledError) as error:
            raise Unavailable(
                "the search takes too long; narrow it by date_from and date_to, or by another filter",
                code="search_too_costly",
                retry_after_seconds=5,
            ) from error


def json_answer(body: Any) -> Response:
    """The body as JSON; stored JSON in it goes through as it is."""
    return Response(orjson.dumps(body), media_type="application/json")
