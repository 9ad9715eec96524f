"""Bodies about registered clients."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.features.clients.models import Client, ClientId, ClientName, Scopes, Source, TypePatterns


class RegisterClientRequest(BaseModel):
    """A platform service that shall call and send. Without a `client_id` it gets one."""

    model_config = ConfigDict(extra="forbid")

    name: ClientName
    client_id: ClientId | None = None
    scopes: Scopes = Field(default_factory=list)
    source: Source
    event_types: TypePatterns = Field(default_factory=list)


class ClientResponse(BaseModel):
    """A registered client, without its secret."""

    id: str
    client_id: str
    name: str
    source: str
    scopes: list[str]
    event_types: list[str]
    created_by: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, client: Client) -> Self:
        """From the stored client."""
        return cls.model_validate(_fields(client))


class RegisteredClientResponse(ClientResponse):
    """A client that was registered just now, with its secret, which is shown this once."""

    client_secret: str

    @classmethod
    def with_secret(cls, client: Client, client_secret: str) -> Self:
        """From the stored client and the secret that only its hash is kept of."""
        return cls.model_validate({**_fields(client), "client_secret": client_secret})


class ClientsResponse(BaseModel):
    """One page of clients."""

    clients: list[ClientResponse]
    total: int
    total_is_exact: bool
    skip: int
    limit: int
    next_cursor: str | None


class TokenResponse(BaseModel):
    """An access token for a client (RFC 6749, 5.1)."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - OAuth's word for how the token is used
    expires_in: int
    scope: str


def _fields(client: Client) -> dict[str, object]:
    return {
        "id": client.id, "client_id": client.client_id, "name": client.name, "source": client.source,
        "scopes": list(client.scopes), "event_types": list(client.event_types), "created_by": client.created_by,
        "created_at": client.created_at, "updated_at": client.updated_at,
    }  # fmt: skip
