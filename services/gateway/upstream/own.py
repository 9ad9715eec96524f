"""Reads of the gateway itself, on the same way as those of the services behind it."""

from services.gateway.upstream.client import Answer, Begin, Carrier, Part


class WithOwn:
    """What is for `name` goes by `own`, and everything else by `carrier`."""

    def __init__(self, carrier: Carrier, name: str, own: Carrier) -> None:
        self._carrier = carrier
        self._name = name
        self._own = own

    async def get(self, service: str, target: str, headers: dict[str, str]) -> Answer:
        """GET `target` of `service`."""
        return await self._way(service).get(service, target, headers)

    async def put(self, service: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """PUT `body` at `target` of `service`."""
        return await self._way(service).put(service, target, headers, body)

    async def stream(self, service: str, target: str, headers: dict[str, str], *, begin: Begin, part: Part) -> None:
        """GET `target` of `service` and hand the answer on as it comes."""
        await self._way(service).stream(service, target, headers, begin=begin, part=part)

    async def close(self) -> None:
        """Give connections back."""
        await self._carrier.close()

    def _way(self, service: str) -> Carrier:
        return self._own if service == self._name else self._carrier
