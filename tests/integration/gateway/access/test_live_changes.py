"""What ends a stream and a cached right: every event that changes who somebody is or what they may do."""

import pytest

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.events import access, users
from libs.common.events.catalog import MessageData, new_event
from libs.common.sealing import Locker
from libs.common.web.sse import Stream
from services.gateway.access.senders import Senders
from services.gateway.access.signing import SigningKeys
from services.gateway.stream.access_events import TYPES, AccessEvents
from services.gateway.stream.hub import Hub
from services.gateway.stream.topics import Topic
from tests.integration.gateway.access.door import Door

OF_A_USER = [
    users.UserUpdated, users.UserRoleChanged, users.UserStatusChanged, users.UserDeleted, users.UserErased,
    access.AccessGranted, access.AccessEnded,
]  # fmt: skip
OF_A_ROLE = [access.RoleChanged, access.RoleDeleted]


async def heard(door: Door, model: type[MessageData], **changes: str) -> dict[str, bool]:
    """Whose stream ends when an event is heard: the viewer's, the moderator's."""
    hub = Hub(EmbeddedTransport(queues=()))
    streams = {}
    for role in ("viewer", "moderator"):
        actor = await door.access.authenticate(await door.token_of(role))
        streams[role] = Stream()
        hub.join(streams[role], actor, frozenset({Topic.OPERATIONS}), None)
    assert model.TYPE in TYPES
    data = model.model_validate({**model.EXAMPLE, **changes})
    keys = SigningKeys(door.database, door.access.tokens, Locker(b"?" * 32))
    AccessEvents(door.access, Senders(door.database), keys, hub).apply(new_event(data, subject=None))
    return {role: stream.has_ended for role, stream in streams.items()}


@pytest.mark.parametrize("model", OF_A_USER)
async def test_a_change_of_somebody_ends_their_streams_and_nobody_elses(door: Door, model: type[MessageData]) -> None:
    token = await door.token_of("viewer")
    user_id = str(door.access.tokens.verify(token).user_id)
    assert await heard(door, model, user_id=user_id) == {"viewer": True, "moderator": False}


@pytest.mark.parametrize("model", OF_A_ROLE)
async def test_a_change_of_a_role_ends_the_streams_of_its_holders(door: Door, model: type[MessageData]) -> None:
    assert await heard(door, model, name="moderator") == {"viewer": False, "moderator": True}


@pytest.mark.parametrize("model", OF_A_USER)
async def test_a_change_of_somebody_is_looked_up_at_once(door: Door, model: type[MessageData]) -> None:
    token = await door.token_of("viewer")
    actor = await door.access.authenticate(token)
    await door.run_sql("UPDATE users SET role = 'moderator' WHERE id = :id", id=actor.id)
    assert (await door.access.authenticate(token)).role == "viewer"
    door.access.apply_event(new_event(model.model_validate({**model.EXAMPLE, "user_id": actor.id}), subject=None))
    assert (await door.access.authenticate(token)).role == "moderator"
