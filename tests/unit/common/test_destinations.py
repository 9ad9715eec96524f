"""Where a call to an issuer may go, whatever its configuration or its document says."""

from ipaddress import ip_address, ip_network

import pytest

from libs.common.egress.destinations import (
    ForbiddenDestination,
    check_address,
    check_url,
)

OFFICE = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/32"))


@pytest.mark.parametrize(
    "url",
    [
        "https://idp.example/realms/staff", "https://idp.example:8443/", "https://93.184.216.34/", "https://[2606:4700::1]/",
        "http://127.0.0.1:8080/", "http://127.9.9.9/", "http://localhost:8080", "http://[::1]:8080/", "https://127.0.0.1/",
        "http://10.1.2.3/", "https://10.1.2.3/", "http://[fd00:1::7]/",
    ],
)  # fmt: skip
def test_public_https_allowed_networks_and_loopback_may_be_asked(url: str) -> None:
    check_url(url, allowed=OFFICE)


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/", "http://93.184.216.34/", "ftp://idp.example/", "file:///etc/passwd", "gopher://127.0.0.1/",
        "//idp.example/", "idp.example", "", "https://10.2.0.1/", "https://192.168.0.1/", "https://172.16.0.1/",
        "https://169.254.169.254/latest/meta-data/", "http://169.254.169.254/", "https://100.64.0.1/", "https://0.0.0.0/",
        "https://224.0.0.1/", "https://255.255.255.255/", "https://240.0.0.1/", "https://192.0.2.1/", "https://198.18.0.1/",
        "https://[::]/", "https://[fe80::1]/", "https://[fd00:2::1]/", "https://[ff02::1]/", "https://[::ffff:10.2.0.1]/",
        "https://[::ffff:169.254.169.254]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/", "https://[2002:a9fe:a9fe::]/", "https://[2001:0:53aa:64c:0:ffff:5601:5601]/",
        "http://localhost.evil.example/", "http://127.0.0.1.evil.example/", "http://127.1/", "http://2130706433/",
        "http://0x7f000001/", "http://017700000001/", "http://127.0.0.1@evil.example/", "http://evil.example#@127.0.0.1/",
        "http://10.1.2.3.evil.example/", "http://[fd00:2::1]/",
    ],
)  # fmt: skip
def test_nothing_else_may(url: str) -> None:
    with pytest.raises(ForbiddenDestination):
        check_url(url, allowed=OFFICE)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1"])
def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    with pytest.raises(ForbiddenDestination, match="REEVE_EGRESS_ALLOW"):
        check_address(ip_address(address), host="idp.example", allowed=OFFICE)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1", "10.1.0.7", "::ffff:10.1.0.7", "fd00:1::1"])
def test_a_name_that_leads_outside_or_where_it_is_allowed_is_asked(address: str) -> None:
    check_address(ip_address(address), host="idp.example", allowed=OFFICE)


def test_localhost_is_loopback_by_name_alone() -> None:
    check_address(ip_address("127.0.0.1"), host="localhost", allowed=())
    with pytest.raises(ForbiddenDestination):
        check_address(ip_address("10.0.0.1"), host="localhost", allowed=())
