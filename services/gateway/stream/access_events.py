"""What the gateway itself learns from live events: who signed out, whose rights changed, which client is new."""

from libs.common.events import access, users
from libs.common.events.envelope import Event
from libs.common.events.sign_in import IpRulesChanged
from libs.common.identity import Actor
from services.gateway.access.senders import Senders
from services.gateway.access.sessions import OF_A_USER, AccessControl
from services.gateway.access.signing import SigningKeys
from services.gateway.stream.hub import Hub

TYPES = OF_A_USER | {
    users.SessionEnded.TYPE,
    users.SessionProved.TYPE,
    access.RoleChanged.TYPE,
    access.RoleDeleted.TYPE,
    users.ClientRegistered.TYPE,
    users.ClientDeleted.TYPE,
    users.TokenRevoked.TYPE,
    users.SigningKeyRotated.TYPE,
    IpRulesChanged.TYPE,
}
"""The types that change who may do what."""


class AccessEvents:
    """Evicts what an event makes untrue, and ends the streams it concerns."""

    def __init__(self, access: AccessControl, senders: Senders, keys: SigningKeys, hub: Hub) -> None:
        self._access = access
        self._keys = keys
        self._senders = senders
        self._hub = hub

    def apply(self, event: Event) -> None:
        """Apply one event; any but those of `TYPES` is ignored."""
        self._access.apply_event(event)
        match event.type:
            case users.SessionEnded.TYPE:
                session_id = event.data.get("session_id")
                self._hub.end_where(lambda actor: actor.session_id == session_id)
            case wire_type if wire_type in OF_A_USER:
                user_id = event.data.get("user_id")
                self._hub.end_where(lambda actor: _is(actor, user_id))
            case access.RoleChanged.TYPE | access.RoleDeleted.TYPE:
                name = event.data.get("name")
                self._hub.end_where(lambda actor: actor.role == name)
            case users.ClientRegistered.TYPE | users.ClientDeleted.TYPE:
                self._senders.evict()
            case IpRulesChanged.TYPE:
                # Which address a stream goes to is known at its start alone: whoever may still listen comes back.
                self._hub.end_where(lambda _: True)
            case users.SigningKeyRotated.TYPE:
                self._keys.wake()
                if event.data.get("revokes_older"):
                    self._hub.end_where(lambda actor: True)
            case _:
                pass

    def forget_all(self) -> None:
        """Live events may have been missed: what is cached may be untrue."""
        self._access.evict()
        self._senders.evict()
        self._keys.wake()


def _is(actor: Actor, user_id: object) -> bool:
    return actor.id == user_id
