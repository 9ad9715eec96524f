"""Which addresses a call to the outside may reach: public ones, and those that the operator allowed. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_NAT64 = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class ForbiddenDestination(Exception):
    """A call that is not made."""


def check_url(url: str, *, allowed: Sequence[Network], trusts_loopback: bool = True) -> None:
    """Raise `ForbiddenDestination` for a URL that no call may go to, as far as its text tells.

    https, or http where the host is a loopback or an allowed address; an address instead of a name is judged here.
    A loopback is trusted where an operator wrote the URL, and only as allowed where an administrator did.
    """
    parts = urlsplit(url)
    address = literal(parts.hostname or "")
    if parts.scheme == "https":
        if address is not None:
            check_address(address, host=parts.hostname or "", allowed=allowed, trusts_loopback=trusts_loopback)
        return
    is_near = (trusts_loopback and is_loopback_name(parts.hostname or "")) or (
        address is not None and any(address in network for network in allowed if network.version == address.version)
    )
    if parts.scheme != "http" or not is_near:
        raise ForbiddenDestination(f"{parts.scheme}://{parts.hostname}: only https, or http to loopback")


def check_address(address: Address, *, host: str, allowed: Sequence[Network], trusts_loopback: bool = True) -> None:
    """Raise `ForbiddenDestination` unless `address`, which `host` leads to, is public, allowed, or trusted loopback."""
    real = embedded(address)
    if any(real in network for network in allowed if network.version == real.version):
        return
    if trusts_loopback and real.is_loopback and is_loopback_name(host):
        return
    if not real.is_global or real.is_multicast or real.is_reserved:
        raise ForbiddenDestination(f"{host} leads to {address}, which REEVE_EGRESS_ALLOW does not contain")


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo's client, NAT64), else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address


def literal(host: str) -> Address | None:
    """The address that a host's text is, None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_loopback_name(host: str) -> bool:
    """Whether whoever wrote this host meant this machine, and said so plainly."""
    address = literal(host)
    return host.lower() == "localhost" if address is None else address.is_loopback and address == embedded(address)
