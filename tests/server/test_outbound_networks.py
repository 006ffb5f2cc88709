"""Which addresses may be called, as a table of rules: what is public, what an operator opens, what stays shut.

Covers server/outbound_networks.py. Python's own table of special addresses is the second opinion.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.outbound_networks import (
    PUBLIC_ONLY,
    Networks,
    OutboundError,
    Target,
    check_address,
    is_public,
    read_networks,
    target_of,
)

INWARDS = [
    "127.0.0.1",
    "127.255.255.254",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:93.184.216.34",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::5db8:d822",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:5db8:d822::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "3fff::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd12:3456::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "ff02::1",
    "100::1",
    "5f00::1",
]


def may(address: str, allow: Networks = PUBLIC_ONLY, url: str = "https://keys.example/jwks") -> bool:
    try:
        check_address(target_of(url), ip_address(address), allow)
    except OutboundError:
        return False
    return True


@pytest.mark.parametrize("address", INWARDS)
def test_nothing_that_leads_inwards_is_called(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not may(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "2a00:1450:4001::5e"])
def test_hosts_of_the_internet_are_called_by_https_alone(address: str) -> None:
    assert may(address)
    assert may(address, url="https://keys.example:8443/jwks")
    assert not may(address, url="http://keys.example/jwks")
    assert not may(address, url="https://keys.example:25/jwks")
    assert not may(address, url="https://keys.example:22/jwks")


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_python_does_not_call_global_is_not_public(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_the_clothes_of_ipv6_is_never_public(address: IPv4Address) -> None:
    number = int(address)
    for dressed in (
        IPv6Address(0xFFFF_0000_0000 | number),
        IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        IPv6Address(int(IPv6Address("2002::")) | number << 80),
    ):
        assert not is_public(dressed)
        # Not even where all of IPv6 is opened, unless what it stands for may be called.
        assert may(str(dressed), read_networks(["::/0"])) == is_public(address)


class TestWhatAnOperatorOpens:
    def test_a_network_opens_its_addresses_for_http_and_any_port_too(self) -> None:
        allow = read_networks(["10.20.0.0/16", "::1/128"])
        assert may("10.20.3.4", allow, "http://keys.internal:81/")
        assert may("::1", allow)
        assert not may("10.21.0.1", allow)

    def test_a_host_opens_the_addresses_that_an_institution_has(self) -> None:
        allow = read_networks(["Keys.Internal"])
        for address in ("10.1.2.3", "192.168.1.1", "127.0.0.1", "::1", "fd12::1", "93.184.216.34"):
            assert may(address, allow, "http://keys.internal/")
            assert may(address, allow, "https://KEYS.internal.:8443/")
        assert not may("10.1.2.3", allow, "https://other.internal/")
        assert not may("10.1.2.3", allow, "https://keys.internal.evil.example/")

    @pytest.mark.parametrize(
        "address",
        ["169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fe80::1", "0.0.0.0"],
    )
    def test_a_host_never_opens_metadata_or_its_link(self, address: str) -> None:
        assert not may(address, read_networks(["keys.internal"]), "https://keys.internal/")

    def test_metadata_are_opened_by_their_own_address_alone(self) -> None:
        assert not may("169.254.169.254", read_networks(["169.254.0.0/16", "0.0.0.0/0"]))
        assert may("169.254.169.254", read_networks(["169.254.169.254"]))

    @pytest.mark.parametrize(
        "part", ["", "a b", "10.0.0.0/40", "10.0.0.1/8", "1.2.3", "host:80", "https://h", "*"]
    )
    def test_what_is_neither_host_nor_network_is_refused(self, part: str) -> None:
        with pytest.raises(ValueError):
            read_networks([part])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys.example",
        "//keys.example/",
        "ftp://keys.example/",
        "file:///etc/passwd",
        "gopher://keys.example/",
        "https://",
        "https:///x",
        "https://user@keys.example/",
        "https://user:password@keys.example/",
        "https://keys.example@evil.example/",
        "https://keys.example\\@evil.example/",
        "https://keys.example/#fragment",
        "https://keys.example:0x50/",
        "https://keys.example:99999/",
        "https://keys.example:/",
        "https://keys.example /",
        "https://keys.ex\u00e4mple/",
        "https://keys.example/\r\nX: y",
        "https://keys.example/\x00",
        "https://keys%2eexample/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://keys.example/" + "x" * 2_000,
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(OutboundError):
        target_of(url)


def test_a_url_is_taken_apart_into_where_it_leads() -> None:
    assert target_of("https://Keys.Example./a?b=c") == Target("https", "keys.example", 443)
    assert target_of("http://[::1]:8080/") == Target("http", "::1", 8080)


@given(st.text(max_size=60))
def test_no_text_is_more_than_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://keys.example/{text}"):
        try:
            target = target_of(url)
        except OutboundError:
            continue
        assert target.host
