"""A caller's address is believed as far as trusted proxies vouch for it, and no further."""

from ipaddress import ip_network

import pytest

from services.gateway.access.addresses import client_address, network_of, place_of, rate_key

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))

SPOOFS = [
    ["1.2.3.4"],
    ["1.2.3.4, 5.6.7.8"],
    ["127.0.0.1"],
    ["10.0.0.1"],
    ["10.0.0.1, 10.0.0.2"],
    ["::1"],
    ["[::1]:80"],
    ["1.2.3.4:80"],
    ["for=1.2.3.4"],
    ["unknown"],
    [""],
    [","],
    ["1.2.3.4", "5.6.7.8"],
    ["1.2.3.4," * 500],
    ["\x00"],
    ["1.2.3.4\r\nX: y"],
    ["0x7f.1"],
    ["2130706433"],
    ["::ffff:10.0.0.1"],
    ["203.0.113.9%eth0"],
]


@pytest.mark.parametrize("header", SPOOFS)
def test_an_untrusted_peer_is_taken_for_nobody_else(header: list[str]) -> None:
    assert client_address("203.0.113.7", forwarded_for=header, trusted=TRUSTED) == "203.0.113.7"
    assert client_address("10.0.0.1", forwarded_for=header, trusted=()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        (["6.6.6.6, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
        (["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        (["6.6.6.6, nonsense"], "10.0.0.1"),
        (["6.6.6.6, 198.51.100.1:443"], "10.0.0.1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["10.9.9.9"], "10.9.9.9"),
        ([], "10.0.0.1"),
    ],
)
def test_behind_trusted_proxies_the_first_untrusted_hop_from_the_right_counts(header: list[str], address: str) -> None:
    assert client_address("10.0.0.1", forwarded_for=header, trusted=TRUSTED) == address


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.77", "198.51.100.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:198.51.100.77", "198.51.100.0/24"),
        (None, "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_an_address_is_expected_to_move_within_its_network(address: str | None, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        (None, "unknown"),
        ("testclient", "unknown"),
    ],
)
def test_one_household_is_one_place(address: str | None, place: str) -> None:
    assert place_of(address) == place


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("198.51.100.1", "198.51.100.0/24"),
        ("198.51.100.255", "198.51.100.0/24"),
        ("198.51.101.1", "198.51.101.0/24"),
        ("::ffff:198.51.100.1", "198.51.100.0/24"),
        ("2001:db8:1:200::1", "2001:db8:1:200::/56"),
        ("2001:db8:1:2ff:ffff::", "2001:db8:1:200::/56"),
        ("2001:db8:1:300::1", "2001:db8:1:300::/56"),
        (None, "unknown"),
        ("testclient", "unknown"),
    ],
)
def test_whoever_has_one_address_of_a_prefix_has_one_limit_for_all_of_it(address: str | None, key: str) -> None:
    assert rate_key(address) == key
