"""From which addresses anybody, and administrators in particular, may call: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from services.gateway.access.addresses import Network, parse_address

MOST_NETWORKS = 200


@dataclass(frozen=True, slots=True)
class IpRules:
    """Who is in `deny` gets no answer but a refusal. Administrators are let in from `allow` alone, unless it is empty.

    An address that is not known is refused as soon as there is a rule that it might break.
    """

    version: int = 1
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    def admits(self, address: str | None, *, admin: bool) -> bool:
        """Whether a caller at this address is let in; `admin` for whoever is, or wants to become, an administrator."""
        if not self.deny and not (admin and self.allow):
            return True
        parsed = parse_address(address or "")
        if parsed is None or _is_in(parsed, self.deny):
            return False
        return not admin or not self.allow or _is_in(parsed, self.allow)


def read_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks in their shortest text, each once and in order. Raises `ValueError` for what is none."""
    networks = {ip_network(text.strip()) for text in texts}
    return tuple(sorted(networks, key=lambda one: (one.version, one.network_address.packed, one.prefixlen)))


def _is_in(address: object, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
