"""Where a request comes from, as far as it can be believed."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

MOST_HOPS = 32


def client_address(peer: str | None, *, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """The first address from the right of `X-Forwarded-For` that no trusted proxy bears.

    Believed only as far as the chain of trusted proxies reaches, starting with the socket's peer; an
    entry that is no bare address ends the chain. Without trusted proxies this is the peer.
    """
    if peer is None or not trusted or not _is_trusted(peer, trusted):
        return peer
    found = peer
    hops = [hop.strip() for line in forwarded_for for hop in line.split(",")]
    for hop in reversed(hops[-MOST_HOPS:]):
        address = parse_address(hop)
        if address is None:
            break
        found = str(address)
        if not _is_trusted(found, trusted):
            break
    return found


def rate_key(address: str | None) -> str:
    """Under what an address is limited: its /24 in IPv4, its /56 in IPv6, of which whoever has one address has all."""
    return _prefix(address, of_ipv4=24, of_ipv6=56)


def place_of(address: str | None) -> str:
    """Where somebody is: the address itself in IPv4, its /64 in IPv6, since one household owns all of that."""
    return _prefix(address, of_ipv4=32, of_ipv6=64).removesuffix("/32")


def network_of(address: str | None) -> str:
    """The network that an address is likely to move within: its /24 in IPv4, its /48 in IPv6."""
    return _prefix(address, of_ipv4=24, of_ipv6=48)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is, an IPv4 one where IPv6 only wraps it; None for anything else."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    # ::ffff:192.0.2.1 is 192.0.2.1 as a dual-stack socket sees it.
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def _prefix(address: str | None, *, of_ipv4: int, of_ipv6: int) -> str:
    parsed = parse_address(address or "")
    if parsed is None:
        return "unknown"
    return str(ip_network((parsed, of_ipv4 if isinstance(parsed, IPv4Address) else of_ipv6), strict=False))


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in trusted if network.version == parsed.version)
