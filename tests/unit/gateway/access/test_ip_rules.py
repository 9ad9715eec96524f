"""From which addresses a call is let in."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.ip_rules import IpRules, read_networks

NETWORKS = st.lists(
    st.ip_addresses(v=4).flatmap(lambda one: st.integers(0, 32).map(lambda bits: str(ip_network((one, bits), False)))),
    max_size=5,
)


def rules(*, allow: list[str] | None = None, deny: list[str] | None = None) -> IpRules:
    return IpRules(allow=read_networks(allow or []), deny=read_networks(deny or []))


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", None, "no address"])
def test_without_rules_everybody_is_let_in(address: str | None) -> None:
    assert rules().admits(address, admin=True)


def test_who_is_denied_gets_in_as_nobody() -> None:
    some = rules(allow=["192.0.2.0/24"], deny=["192.0.2.128/25", "2001:db8::/32"])
    assert some.admits("192.0.2.1", admin=True)
    for address in ("192.0.2.200", "2001:db8::7", "::ffff:192.0.2.200"):
        assert not some.admits(address, admin=True)
        assert not some.admits(address, admin=False)


def test_the_allow_list_holds_for_administrators_alone() -> None:
    some = rules(allow=["192.0.2.0/24"])
    assert not some.admits("198.51.100.1", admin=True)
    assert some.admits("198.51.100.1", admin=False)


@pytest.mark.parametrize("address", [None, "", "unknown", "192.0.2.1:80"])
def test_an_address_that_is_not_known_breaks_every_rule(address: str | None) -> None:
    assert not rules(allow=["0.0.0.0/0"]).admits(address, admin=True)
    assert not rules(deny=["192.0.2.0/24"]).admits(address, admin=False)


@given(allow=NETWORKS, deny=NETWORKS, address=st.ip_addresses(v=4), admin=st.booleans())
def test_the_rules_are_what_their_description_says(
    allow: list[str], deny: list[str], address: object, admin: bool
) -> None:
    parsed = ip_address(str(address))
    is_denied = any(parsed in ip_network(one) for one in deny)
    is_allowed = not allow or not admin or any(parsed in ip_network(one) for one in allow)
    assert rules(allow=allow, deny=deny).admits(str(address), admin=admin) == (is_allowed and not is_denied)


def test_networks_are_read_once_each_and_in_order() -> None:
    assert [str(one) for one in read_networks(["2001:db8::/32", "192.0.2.0/24", " 10.0.0.1 ", "192.0.2.0/24"])] == [
        "10.0.0.1/32", "192.0.2.0/24", "2001:db8::/32",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["192.0.2.1/24", "everybody", "192.0.2.0/33", "", "fe80::1%eth0/64"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits set"):
        read_networks([text])
